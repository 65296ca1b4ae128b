// New item: previews an item while the user types it; saves, edits and deletes items.

import { ask, latest } from "./api.js";
import { addressOf } from "./codes.js";
import { byId, coldBadge, detailOf, element, fill, nameOf, oddity } from "./dom.js";
import { startFinder } from "./finder.js";
import { standInFor } from "./try.js";

const QUIET = 250; // ms without a keystroke before a preview
const LATEST = 3; // items of an example user that the page names
const FIELDS = ["title", "brand", "description", "price"];
const TEXTS = ["title", "brand", "categories", "description", "text"]; // one of which an item needs
const previewing = latest();

// kept: parts of an edited item for which the form has no field. outcome: what saving would do.
const state = { kept: {}, outcome: undefined, timer: undefined };

/** Set the page up, with an empty form. */
export function startNew() {
  const form = byId("item");
  startFinder("edit", (item) => edit(item.item_id).catch(showProblem));
  form.addEventListener("input", () => {
    byId("saved").textContent = "";
    offer(undefined); // the last preview no longer holds: a changed id may be that of another item
    clearTimeout(state.timer);
    state.timer = setTimeout(preview, QUIET);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save().catch(showProblem);
  });
  byId("fresh").addEventListener("click", clear);
  byId("delete").addEventListener("click", sure);
  byId("delete").addEventListener("blur", () => askAgain(false));
  clear();
}

function clear() {
  fillIn({ item_id: `item-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}` });
  byId("saved").textContent = "";
  byId("item").elements.title.focus({ preventScroll: true });
}

function fillIn(content) {
  const { elements } = byId("item");
  for (const name of FIELDS) elements[name].value = content[name] ?? "";
  elements.item_id.value = content.item_id;
  elements.categories.value = (content.categories ?? []).join("\n");
  const { title, brand, description, price, categories, item_id, ...kept } = content;
  state.kept = kept;
  const names = [...("text" in kept ? ["its own text"] : []), ...Object.keys(kept.attributes ?? {})];
  byId("kept").hidden = !names.length;
  byId("kept").textContent = `Unchanged by this form: ${names.join(", ")}`;
  preview();
}

async function edit(itemId) {
  // By the list, because the paths of some ids are other resources.
  const { items } = await ask("GET", "items", { query: { item_id: itemId, content: true } });
  if (!items.length) throw new Error("This item no longer exists.");
  fillIn({ item_id: itemId, ...items[0].content });
  byId("saved").textContent = "";
}

/** The item in the form, without empty fields. */
function typed() {
  const { elements } = byId("item");
  const item = { ...state.kept, item_id: elements.item_id.value.trim() };
  for (const name of FIELDS) {
    const value = elements[name].value.trim();
    if (value) item[name] = name === "price" ? Number(value) : value;
  }
  const categories = elements.categories.value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (categories.length) item.categories = categories;
  return item;
}

// Before it is saved

async function preview() {
  clearTimeout(state.timer);
  offer(undefined);
  const odd = oddity(byId("item"));
  const item = typed();
  if (odd || !TEXTS.some((name) => name in item)) {
    previewing(async () => undefined);
    byId("preview").hidden = true;
    byId("preview-note").hidden = Boolean(odd);
    byId("item-problem").hidden = true;
    if (odd) showProblem(odd);
    return;
  }
  try {
    const found = await previewing((signal) => ask("POST", "items/preview", { body: item, signal }));
    if (found) showPreview(found);
  } catch (error) {
    showProblem(error);
  }
}

function showPreview(found) {
  byId("item-problem").hidden = true;
  byId("preview-note").hidden = true;
  byId("preview").hidden = false;
  offer(found.outcome);
  const others = found.shares_semantic_id;
  fill(byId("preview-codes"), [
    ...found.semantic_id.map((code, level, all) =>
      element("a", { class: "code", href: addressOf(all.slice(0, level + 1)) }, String(code)),
    ),
    element("span", { class: "quiet" }, shares(found.semantic_id.length, others)),
  ]);
  const percentile = found.quantization_error_percentile;
  fill(byId("preview-unusual"), [
    element("meter", { min: 0, max: 100, high: 95, value: percentile, "aria-labelledby": "preview-title" }),
    ` ${percentile.toFixed(0)} % of the training items fit their codes better`,
    found.unusual ? element("strong", {}, ": unlike the training texts") : "",
    found.cold ? "" : ". Training knows this item, and it keeps what was learned",
  ]);
  const { users, reached, best } = found.audience;
  byId("preview-reached").textContent = users
    ? `${reached} of ${users} example users would get it among their ten recommendations.`
    : "This artifact has no example users.";
  fill(byId("preview-users"), best.map(user));
  fill(byId("preview-neighbours"), found.neighbours.map(neighbour));
}

function shares(levels, others) {
  if (!levels) return "This model has no semantic codes.";
  return others ? `shared with ${others === 1 ? "one other item" : `${others} other items`}` : "shared with no other item";
}

function user(each) {
  const before = each.history.length - LATEST;
  const latest = each.history.slice(-LATEST).map(nameOf).join("; ");
  const act = () => {
    standInFor(each.history, each.chosen);
    location.hash = "#try";
  };
  return element(
    "li",
    {},
    element("p", {}, element("strong", {}, `Place ${each.place}`), ` after ${before > 0 ? `${before} more; ` : ""}${latest}`),
    element("p", { class: "quiet" }, `Chose next: ${nameOf(each.chosen)}`),
    element("button", { type: "button", onclick: act, "aria-label": `Try it as the user at place ${each.place}` }, "Try it as this user"),
  );
}

function neighbour(item) {
  const head = [element("span", { class: "name" }, nameOf(item)), coldBadge(item)];
  const cosine = element("span", { class: "score" }, item.score.toFixed(2));
  return element("li", {}, element("div", { class: "head" }, ...head, cosine), element("p", { class: "quiet" }, detailOf(item)));
}

// Saving and deleting

/** Offer what the user can do with the item. `outcome`: what saving would do; undefined while that is unknown. */
function offer(outcome) {
  state.outcome = outcome;
  byId("save").disabled = outcome === undefined || outcome === "unchanged";
  byId("save").textContent = { replaced: "Replace", unchanged: "Saved" }[outcome] ?? "Save";
  byId("delete").hidden = outcome === undefined || outcome === "created";
  askAgain(false);
}

async function save() {
  const { item_id, ...content } = typed();
  const written = await ask("PUT", `items/${encodeURIComponent(item_id)}`, { body: content });
  byId("saved").textContent = `${{ created: "Saved", replaced: "Replaced", unchanged: "Already saved" }[written.outcome]}: Kindred recommends it from now on.`;
  await preview();
}

/** The first click asks, the second deletes. */
function sure() {
  if (byId("delete").dataset.sure) remove().catch(showProblem);
  else askAgain(true);
}

function askAgain(asked) {
  const button = byId("delete");
  if (asked) button.dataset.sure = "yes";
  else delete button.dataset.sure;
  button.textContent = asked ? "Really delete?" : "Delete";
}

async function remove() {
  await ask("DELETE", `items/${encodeURIComponent(typed().item_id)}`);
  byId("saved").textContent = "Deleted: Kindred no longer recommends it.";
  await preview();
}

function showProblem(error) {
  byId("item-problem").textContent = error.message;
  byId("item-problem").hidden = false;
  byId("preview").hidden = true;
}
