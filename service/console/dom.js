// Makes elements from data. Text goes in as text alone: nothing in an item's title becomes markup.

/** An element with attributes (event handlers as functions under "on…") and children: elements or text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element of this id; an error where the page has none. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Replace all children. The focus stays with the control of the same data-focus. */
export function fill(parent, children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  parent.replaceChildren(...children);
  if (focused !== undefined) {
    const again = [...parent.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focused);
    (again ?? parent.querySelector("button"))?.focus();
  }
}

/** An error about the first invalid field of a form; undefined where all are valid. */
export function oddity(form) {
  const odd = [...form.elements].find((input) => !input.checkValidity());
  return odd && new Error(`${odd.labels[0].textContent.trim()}: ${odd.validationMessage}`);
}

/** Fill a `dl` with terms and values. Leaves out those without a value. */
export function list(id, pairs) {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null);
  fill(byId(id), shown.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

/** An item's title, or its id where it has none. */
export function nameOf(item) {
  return item.attributes?.title || item.item_id;
}

/** The line under a name: brand and last category. An attribute called `categories` replaces the categories. */
export function detailOf(item) {
  const categories = [item.attributes?.categories ?? []].flat();
  return [item.attributes?.brand, categories.at(-1)].filter(Boolean).join(" · ");
}

/** The mark of an item that training has not seen. */
export function coldBadge(item) {
  return item.cold ? element("span", { class: "badge", title: "Training has not seen this item" }, "cold") : null;
}
