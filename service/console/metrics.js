// Reads Prometheus' text format, as far as the service writes it.

const LINE = /^([a-z_:]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

/** The samples of a scrape: { name, labels, value } each. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = LINE.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries([...(found[2] ?? "").matchAll(LABEL)].map((pair) => [pair[1], pair[2]]));
    samples.push({ name: found[1], labels, value: Number(found[3]) });
  }
  return samples;
}

/** The samples of a name with these labels. */
export function select(samples, name, labels = {}) {
  const wanted = Object.entries(labels);
  return samples.filter((each) => each.name === name && wanted.every(([key, value]) => each.labels[key] === value));
}

/** The sum of a name's samples with these labels. */
export function total(samples, name, labels = {}) {
  return select(samples, name, labels).reduce((sum, each) => sum + each.value, 0);
}

/** Sums of a name's samples by a label, those of zero left out. */
export function by(samples, name, label) {
  const sums = new Map();
  for (const each of select(samples, name)) {
    sums.set(each.labels[label], (sums.get(each.labels[label]) ?? 0) + each.value);
  }
  return [...sums].filter(([, value]) => value > 0).sort();
}

/** The buckets of a histogram, summed over its other labels: [upper bound, count up to it], ascending. */
function buckets(samples, name, labels) {
  const sums = new Map();
  for (const each of select(samples, `${name}_bucket`, labels)) {
    const bound = each.labels.le === "+Inf" ? Infinity : Number(each.labels.le);
    sums.set(bound, (sums.get(bound) ?? 0) + each.value);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/** A quantile of a histogram as Prometheus estimates it; undefined where nothing was observed. */
export function quantile(samples, name, share, labels = {}) {
  const found = buckets(samples, name, labels);
  const count = found.at(-1)?.[1];
  if (!count) return undefined;
  let [below, under] = [0, 0];
  for (const [bound, upTo] of found) {
    if (upTo >= share * count) {
      return bound === Infinity ? below : below + ((bound - below) * (share * count - under)) / (upTo - under);
    }
    [below, under] = [bound, upTo];
  }
  return below;
}

/** The share of a histogram's observations above one of its bounds, and their number. */
export function above(samples, name, bound) {
  const found = buckets(samples, name, {});
  const count = found.at(-1)?.[1] ?? 0;
  const upTo = found.find(([each]) => each === bound)?.[1] ?? 0;
  return { count, share: count ? (count - upTo) / count : 0 };
}
