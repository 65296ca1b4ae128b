// Finds items while the user types: an input, and below it the items that match.

import { ask, latest } from "./api.js";
import { byId, coldBadge, detailOf, element, fill, nameOf } from "./dom.js";

const FOUND = 12;

/** Let the input #<id>, with its list #<id>-found and its note #<id>-note, find items. `pick` gets the chosen one. */
export function startFinder(id, pick) {
  const [input, list, note] = [byId(id), byId(`${id}-found`), byId(`${id}-note`)];
  const searching = latest();

  async function search() {
    const query = input.value.trim();
    if (!query) {
      searching(async () => undefined);
      note.textContent = "";
      fill(list, []);
      return;
    }
    try {
      const found = await searching((signal) => ask("GET", "search", { query: { q: query, limit: FOUND }, signal }));
      if (!found) return;
      note.textContent = found.items.length ? "" : "No item matches.";
      fill(list, found.items.map(entry));
    } catch (error) {
      note.textContent = error.message;
    }
  }

  function entry(item) {
    const detail = element("span", { class: "quiet" }, detailOf(item));
    const label = [element("span", { class: "name" }, nameOf(item)), coldBadge(item), detail];
    return element("li", {}, element("button", { type: "button", onclick: () => pick(item) }, ...label));
  }

  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...list.querySelectorAll("button")];
    const target = buttons.indexOf(document.activeElement) + step;
    (target < 0 ? input : buttons[target])?.focus();
  }

  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") list.querySelector("button")?.focus();
  });
  list.addEventListener("keydown", move);
}
