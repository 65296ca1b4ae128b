// The map of the catalogue: each item is a point. Marks the items of the opened codes, and rings registered ones.

import { ask, latest } from "./api.js";
import { byId, detailOf, nameOf } from "./dom.js";

const NEAR = 10; // CSS pixels within which the pointer finds a point
const MARGIN = 12;
const FRESH = 10_000; // ms until the points are fetched again
const STILL = 120; // ms that the pointer rests before the page asks for the item under it

const state = { points: undefined, items: 0, prefix: [], fetched: -FRESH, timer: undefined };
const naming = latest();

/** Mark the items whose semantic ID begins with these codes. */
export function mark(prefix) {
  state.prefix = prefix;
  draw();
}

/** Fetch the map, unless it has just been fetched, and draw it. */
export async function showMap() {
  try {
    if (performance.now() - state.fetched > FRESH) {
      const found = await ask("GET", "map");
      Object.assign(state, { points: found.points, items: found.items, fetched: performance.now() });
    }
    draw();
  } catch (error) {
    byId("map-note").textContent = error.message;
  }
}

/** Let the map follow its size, the colour scheme and the pointer. */
export function startMap() {
  const canvas = byId("map");
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  canvas.addEventListener("pointermove", (event) => {
    clearTimeout(state.timer);
    state.timer = setTimeout(() => name(nearest(event)), STILL);
  });
  canvas.addEventListener("pointerleave", () => {
    clearTimeout(state.timer);
    describe();
  });
  canvas.addEventListener("click", (event) => {
    const at = nearest(event);
    if (at !== undefined) location.hash = `#codes/${state.points.semantic_id[at].join(".")}`;
  });
}

function isMarked(at) {
  return state.prefix.length > 0 && state.prefix.every((code, level) => state.points.semantic_id[at][level] === code);
}

function draw() {
  const canvas = byId("map");
  const size = canvas.clientWidth;
  if (!size || !state.points) return;
  const ratio = devicePixelRatio;
  canvas.width = canvas.height = Math.round(size * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const colour = (variable) => style.getPropertyValue(variable);
  const { item_id, registered } = state.points;
  const every = item_id.map((_, at) => at);
  const marked = every.filter(isMarked);
  const layers = [
    [every.filter((at) => !registered[at]), "--point", 1.5, false],
    [marked, "--semantic", 3, false],
    [every.filter((at) => registered[at]), "--own", 4, true],
  ];
  for (const [those, variable, radius, ring] of layers) {
    context.fillStyle = context.strokeStyle = colour(variable);
    context.lineWidth = 1.5;
    for (const at of those) {
      const [x, y] = place(at, size);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      if (ring) context.stroke();
      else context.fill();
    }
  }
  canvas.dataset.marked = marked.length;
  canvas.dataset.registered = layers[2][0].length;
  describe();
}

function place(at, size) {
  const within = (value) => MARGIN + ((value + 1) / 2) * (size - 2 * MARGIN);
  return [within(state.points.x[at]), within(-state.points.y[at])];
}

/** The number of the point at the pointer; undefined where there is none. */
function nearest(event) {
  if (!state.points) return undefined;
  const size = byId("map").clientWidth;
  let [best, least] = [undefined, NEAR ** 2];
  for (let at = 0; at < state.points.item_id.length; at += 1) {
    const [x, y] = place(at, size);
    const far = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
    if (far < least) [best, least] = [at, far];
  }
  return best;
}

async function name(at) {
  if (at === undefined) {
    naming(async () => undefined);
    describe();
    return;
  }
  const query = { item_id: state.points.item_id[at] };
  try {
    const found = await naming((signal) => ask("GET", "items", { query, signal }));
    if (found?.items.length) byId("map-note").textContent = [nameOf(found.items[0]), detailOf(found.items[0])].filter(Boolean).join(" · ");
  } catch (error) {
    byId("map-note").textContent = error.message;
  }
}

/** What the map shows, in words. */
function describe() {
  if (!state.points) return;
  const drawn = state.points.item_id.length;
  const { marked } = byId("map").dataset;
  byId("map-note").textContent = drawn
    ? `${drawn.toLocaleString()} of ${state.items.toLocaleString()} items; similar texts lie close together` +
      (state.prefix.length ? `; ${Number(marked).toLocaleString()} have the codes ${state.prefix.join(" · ")}` : "")
    : "This artifact has no map.";
}
