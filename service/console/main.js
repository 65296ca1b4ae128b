// The console's start: what model this is, and which page is shown.

import { ask } from "./api.js";
import { showCodes } from "./codes.js";
import { byId } from "./dom.js";
import { startHealth, stopHealth } from "./health.js";
import { startMap } from "./map.js";
import { startNew } from "./new.js";
import { startTry } from "./try.js";

const PAGES = ["try", "new", "codes", "health"];

async function showModel() {
  const version = await ask("GET", "version");
  const items = version.items === undefined ? "not ready" : `${version.items.toLocaleString()} items`;
  byId("model").textContent = [version.model_version, items].filter(Boolean).join(" · ");
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

showModel().catch((error) => {
  byId("model").textContent = error.message;
});
startTry();
startNew();
startMap();
addEventListener("hashchange", showPage);
showPage();
