// Codes: the tree of semantic IDs, from the coarsest codes down to items, and a table of how each level is used.

import { ask, latest } from "./api.js";
import { byId, coldBadge, detailOf, element, fill, nameOf } from "./dom.js";
import { mark, showMap } from "./map.js";

const TILES = 60; // shown at first
const opening = latest();

/** The address on this page of the codes that semantic IDs begin with. */
export function addressOf(prefix) {
  return prefix.length ? `#codes/${prefix.join(".")}` : "#codes";
}

/** Show the items and codes below some first codes, written as in the address: "17.203", "" for all. */
export async function showCodes(text) {
  const prefix = text ? text.split(".").map(Number) : [];
  mark(prefix);
  showMap();
  try {
    const query = prefix.map((code) => ["prefix", code]);
    const tree = await opening((signal) => ask("GET", "codes", { query, signal }));
    if (!tree) return;
    byId("codes-problem").hidden = true;
    showTree(tree);
    showLevels(tree.levels);
  } catch (error) {
    showProblem(error);
  }
}

function showTree(tree) {
  const { prefix, items, words, branches, found } = tree;
  const crumbs = [[], ...prefix.map((_, at) => prefix.slice(0, at + 1))];
  fill(byId("crumbs"), crumbs.map((each, at) => crumb(each, at === crumbs.length - 1)));
  byId("codes-note").textContent = [
    tree.levels.length ? `${count(items, "item")}${prefix.length ? " with these codes" : ""}` : "This model has no semantic codes",
    words.length ? `telling words: ${words.join(", ")}` : "",
  ].filter(Boolean).join("; ");
  showTiles(prefix, branches, TILES);
  byId("branch").hidden = !found.length;
  fill(byId("branch-items"), found.map(item));
}

function crumb(prefix, last) {
  const text = prefix.length ? String(prefix.at(-1)) : "All";
  return element("li", {}, element("a", { href: addressOf(prefix), "aria-current": last ? "true" : undefined }, text));
}

function showTiles(prefix, branches, most) {
  fill(byId("tiles"), branches.slice(0, most).map((branch) => tile(prefix, branch)));
  const all = byId("all-tiles");
  all.hidden = branches.length <= most;
  all.textContent = `Show all ${branches.length.toLocaleString()} codes`;
  all.onclick = () => showTiles(prefix, branches, branches.length);
}

function tile(prefix, branch) {
  const made = element(
    "li",
    {},
    element(
      "a",
      { href: addressOf([...prefix, branch.code]) },
      element("span", { class: "code" }, String(branch.code)),
      element("span", { class: "quiet" }, ` ${count(branch.items, "item")}`),
      element("span", { class: "words" }, branch.words.join(", ")),
    ),
  );
  made.style.flexGrow = branch.items; // wider, the more items it has
  return made;
}

function item(each) {
  return element(
    "li",
    {},
    element("span", { class: "name" }, nameOf(each)),
    " ",
    coldBadge(each),
    element("p", { class: "quiet" }, detailOf(each)),
  );
}

function showLevels(levels) {
  const heads = ["level", "distance", "codewords in use", "distinct", "items alone", "most on one"];
  const rows = levels.map((each) => [
    each.level,
    each.metric,
    `${each.used.toLocaleString()} / ${each.codewords.toLocaleString()}`,
    each.prefixes.toLocaleString(),
    each.alone.toLocaleString(),
    each.most.toLocaleString(),
  ]);
  fill(byId("levels"), [
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, String(cell)))))),
  ]);
}

function count(number, what) {
  return `${number.toLocaleString()} ${what}${number === 1 ? "" : "s"}`;
}

function showProblem(error) {
  byId("codes-note").textContent = "";
  showTiles([], [], 0);
  byId("branch").hidden = true;
  byId("codes-problem").textContent = error.message;
  byId("codes-problem").hidden = false;
}
