// Starts the console: shows the model's name, and one of the pages.

import { ask } from "./api.js";
import { showCodes } from "./codes.js";
import { byId } from "./dom.js";
import { startHealth, stopHealth } from "./health.js";
import { startMap } from "./map.js";
import { startNew } from "./new.js";
import { recommend, startTry } from "./try.js";

const PAGES = ["try", "new", "codes", "health"];
const SECONDS = 5;

/** Show which model serves, and look again every few seconds. `before` is the model of the last look: null before
    the first look, undefined where none answered. */
async function showModel(before) {
  let model;
  try {
    const version = await ask("GET", "version");
    const items = version.items === undefined ? "not ready" : `${version.items.toLocaleString()} items`;
    model = version.model_version;
    byId("model").textContent = [model, items].filter(Boolean).join(" · ");
  } catch (error) {
    byId("model").textContent = error.message;
  }
  if (model !== undefined && before !== null && model !== before) recommend(); // the page shows answers of another model
  setTimeout(showModel, 1000 * SECONDS, model);
}

function showPage() {
  const [asked, ...rest] = location.hash.slice(1).split("/");
  const page = PAGES.includes(asked) ? asked : PAGES[0];
  for (const each of PAGES) byId(each).hidden = each !== page;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${page}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === "codes") showCodes(rest.join("/"));
  if (page === "health") startHealth();
  else stopHealth();
}

showModel(null);
startTry();
startNew();
startMap();
addEventListener("hashchange", showPage);
showPage();
