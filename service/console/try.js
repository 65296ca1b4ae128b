// Try it: the user clicks items into a history and sees recommendations at once.

import { ask, hasKey, latest } from "./api.js";
import { byId, coldBadge, detailOf, element, fill, nameOf, oddity } from "./dom.js";
import { startFinder } from "./finder.js";
import { bar, scaleOf, shared } from "./reasons.js";

const EXAMPLES = 20;

const state = { history: [], excluded: [], chosen: undefined, examples: [], next: 0, seed: 0 };
const recommending = latest();

/** Set the page up, and show recommendations for an empty history. */
export function startTry() {
  startFinder("search", (item) => change({ history: [...state.history, item] }));
  byId("controls").addEventListener("input", showControls);
  byId("controls").addEventListener("input", recommend);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => change({ history: [], excluded: [], chosen: undefined }));
  byId("example").addEventListener("click", () => showExample().catch(show));
  byId("copy").addEventListener("click", copy);
  change({});
}

/** Take over a user's history, and what they chose next, where that is known. */
export function standInFor(history, chosen) {
  change({ history, excluded: [], chosen });
}

function change(part) {
  Object.assign(state, part);
  if (!("chosen" in part)) state.chosen = undefined; // a changed history is no longer that user's
  byId("example-note").textContent = state.chosen ? `This user chose next: ${nameOf(state.chosen)}` : "";
  showHistory();
  showExcluded();
  recommend();
}

// The history

function showHistory() {
  byId("history-empty").hidden = state.history.length > 0;
  fill(byId("history"), state.history.map(historyItem));
}

function historyItem(item, place) {
  const name = nameOf(item);
  const move = (by) => {
    const history = [...state.history];
    history.splice(place + by, 0, ...history.splice(place, 1));
    change({ history });
  };
  const remove = () => change({ history: state.history.filter((_, at) => at !== place) });
  const button = (text, label, enabled, act) =>
    element("button", { type: "button", "aria-label": `${label} ${name}`, disabled: !enabled, onclick: act, "data-focus": `${label} ${place}` }, text);
  return element(
    "li",
    {},
    element("span", { class: "name" }, name),
    coldBadge(item),
    element(
      "span",
      { class: "tools" },
      button("↑", "Earlier:", place > 0, () => move(-1)),
      button("↓", "Later:", place < state.history.length - 1, () => move(1)),
      button("✕", "Remove", true, remove),
    ),
  );
}

async function showExample() {
  if (state.next >= state.examples.length) {
    const found = await ask("GET", "examples", { query: { count: EXAMPLES, seed: state.seed } });
    Object.assign(state, { examples: found.examples, next: 0, seed: state.seed + 1 });
  }
  const example = state.examples[state.next];
  if (!example) {
    byId("example-note").textContent = "This artifact has no example users.";
    return;
  }
  state.next += 1;
  change({ history: example.history, excluded: [], chosen: example.chosen });
}

// Recommendations

function request() {
  const given = new FormData(byId("controls"));
  const body = { history: state.history.map((item) => item.item_id), k: Number(given.get("k")), explain: true };
  const filter = {};
  if (given.get("brand").trim()) filter.brand = [given.get("brand").trim()];
  if (given.get("category").trim()) filter.categories = [given.get("category").trim()];
  if (Object.keys(filter).length) body.filter = filter;
  if (Number(given.get("diversity"))) body.diversity = Number(given.get("diversity"));
  if (Number(given.get("cold_share"))) body.cold_share = Number(given.get("cold_share"));
  if (state.excluded.length) body.exclude = state.excluded.map((item) => item.item_id);
  return body;
}

function showControls() {
  const { elements } = byId("controls");
  for (const name of ["diversity", "cold_share"]) elements[`${name}-value`].value = elements[name].value;
}

/** Show recommendations for the current history. */
export async function recommend() {
  const odd = oddity(byId("controls"));
  if (odd) {
    recommending(async () => undefined); // drops an answer that is on its way: it would stand beside the problem
    show(odd);
    return;
  }
  const body = request();
  showCurl(body);
  try {
    const answer = await recommending((signal) => ask("POST", "recommend", { body, signal }));
    if (!answer) return;
    showCurl(body); // again: the user may have given a key meanwhile
    byId("problem").hidden = true;
    const scale = scaleOf(answer.items);
    fill(byId("recommended"), answer.items.map((item) => recommendedItem(item, scale)));
    const place = answer.items.findIndex((item) => item.item_id === state.chosen?.item_id) + 1;
    byId("status").textContent = [
      `${answer.items.length} items by ${answer.strategy === "model" ? "the model" : "popularity"}`,
      state.chosen ? (place ? `this user's choice is number ${place}` : "this user's choice is not among them") : "",
      answer.unknown_history.length ? `unknown items: ${answer.unknown_history.join(", ")}` : "",
      answer.unknown_filter.length ? `no item has: ${answer.unknown_filter.join(", ")}` : "",
    ].filter(Boolean).join("; ");
  } catch (error) {
    show(error);
    byId("status").textContent = ""; // the old recommendations do not answer this request
    fill(byId("recommended"), []);
  }
}

function recommendedItem(item, scale) {
  const name = nameOf(item);
  const add = () => change({ history: [...state.history, item] });
  const exclude = () => change({ excluded: [...state.excluded, item], chosen: state.chosen });
  const chosen = item.item_id === state.chosen?.item_id;
  return element(
    "li",
    { class: chosen ? "chosen" : undefined, "data-item": item.item_id },
    element(
      "div",
      { class: "head" },
      element("span", { class: "name" }, name),
      coldBadge(item),
      chosen ? element("span", { class: "badge strong" }, "chosen next") : null,
      element("span", { class: "score" }, item.score.toFixed(2)),
    ),
    element("p", { class: "quiet" }, detailOf(item)),
    item.reasons ? bar(item.reasons, scale) : null,
    item.reasons ? shared(item.reasons, state.history) : null,
    element(
      "div",
      { class: "tools" },
      element("button", { type: "button", "aria-label": `Add to the history: ${name}`, onclick: add }, "Add to history"),
      element("button", { type: "button", "aria-label": `Exclude ${name}`, onclick: exclude }, "Exclude"),
    ),
  );
}

function showExcluded() {
  byId("excluded-part").hidden = !state.excluded.length;
  const back = (item) => () => change({ excluded: state.excluded.filter((each) => each !== item), chosen: state.chosen });
  const chip = (item) =>
    element("button", { type: "button", "aria-label": `Stop excluding ${nameOf(item)}`, onclick: back(item) }, `${nameOf(item)} ✕`);
  fill(byId("excluded"), state.excluded.map((item) => element("li", {}, chip(item))));
}

function show(error) {
  byId("problem").textContent = error.message;
  byId("problem").hidden = false;
}

// The request, to copy

function showCurl(body) {
  // For each single quote: end the quoted part, escape the quote, begin a new part.
  const quoted = JSON.stringify(body).replaceAll("'", String.raw`'\''`);
  const url = new URL("recommend", document.baseURI);
  const key = hasKey() ? ' -H "Authorization: Bearer $KEY"' : ""; // never the key itself
  byId("curl").textContent = `curl -sS ${url} -H 'Content-Type: application/json'${key} -d '${quoted}'`;
  byId("copied").textContent = "";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("curl").textContent);
    byId("copied").textContent = "Copied.";
  } catch {
    // The browser forbids it: select the text, so that one key copies it.
    getSelection().selectAllChildren(byId("curl"));
    byId("copied").textContent = "Selected: press Ctrl+C or ⌘C.";
  }
}
