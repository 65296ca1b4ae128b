// Shows why an item is recommended: the two parts of its score as a bar, and the history items that share its codes.

import { bars } from "./bars.js";
import { element, nameOf } from "./dom.js";

/** The scale that all bars of an answer share: the largest sum of the positive parts, and of the negative ones. */
export function scaleOf(items) {
  const parts = items.filter((item) => item.reasons).map((item) => [item.reasons.semantic, item.reasons.id]);
  const sum = (sign) => Math.max(0, ...parts.map((pair) => pair.reduce((a, b) => a + Math.max(0, sign * b), 0)));
  return { above: sum(1), below: sum(-1) };
}

/** A bar of both parts: positive ones to the right of zero, negative ones to the left. */
export function bar(reasons, scale) {
  const whole = scale.above + scale.below || 1;
  const parts = [];
  const zero = (100 * scale.below) / whole;
  let right = zero;
  let left = zero;
  for (const [kind, value] of [["semantic", reasons.semantic], ["own", reasons.id]]) {
    const width = (100 * Math.abs(value)) / whole;
    if (value < 0) left -= width;
    parts.push([kind, value < 0 ? left : right, width]);
    if (value >= 0) right += width;
  }
  return bars(parts, `semantic ${reasons.semantic.toFixed(2)}, ID ${reasons.id.toFixed(2)}`);
}

/** "shares the first 3 codes with …": the history items whose semantic ID begins like the item's. */
export function shared(reasons, history) {
  const names = new Map(history.map((item) => [item.item_id, nameOf(item)]));
  const known = reasons.shared_codes.filter((each) => names.has(each.item_id));
  if (!known.length) return null;
  const most = known[0].levels;
  const those = known.filter((each) => each.levels === most).map((each) => names.get(each.item_id));
  return element("p", { class: "quiet" }, `shares the first ${most === 1 ? "code" : `${most} codes`} with ${those.join("; ")}`);
}
