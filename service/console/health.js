// Health: what is served, and how it has gone since the start. Asked for anew every few seconds while it is shown.

import { ask } from "./api.js";
import { showCard } from "./card.js";
import { byId, element, list } from "./dom.js";
import { above, by, parse, quantile, total } from "./metrics.js";

const SECONDS = 5;
const UNUSUAL = 95; // percentile of the training items' quantization error

const REGISTRIES = { sqlite: "SQLite", postgresql: "PostgreSQL" };

let timer;
let showing; // who asks now; another, or nobody, once the page is left

/** Show the page's figures from now on, until `stopHealth`. */
export async function startHealth() {
  stopHealth();
  const own = (showing = {});
  await Promise.all([showServed(), showRunning()]);
  if (showing === own) timer = setTimeout(startHealth, 1000 * SECONDS);
}

/** Ask no more. */
export function stopHealth() {
  clearTimeout(timer);
  showing = undefined;
}

async function showServed() {
  try {
    const version = await ask("GET", "version");
    const { index, registry, last_swap: swap } = version;
    list("served", [
      ["Service", version.service],
      ["Model", version.model_version ?? "not ready"],
      ["Items", version.items?.toLocaleString()],
      ["Cold items", version.cold_items?.toLocaleString()],
      ["Index", index && `${index.kind}, recall@10 ${index.recall_at_10.toFixed(3)}`],
      ["Registered items", registry?.items.toLocaleString()],
      ["Registry", registry && (REGISTRIES[registry.kind] ?? registry.kind)],
      ["Serving since", moment(version.serving_since)],
      ["Last swap", swap && element("span", {}, moment(swap.at), `, in place of ${swap.old_version}`)],
      ["Start", version.started_seconds === undefined ? undefined : `${version.started_seconds} s`],
      ["Refused", version.refused && `${version.refused.version ?? "no version"}: ${version.refused.reason}`],
    ]);
    await showCard(version.model_version);
  } catch (error) {
    list("served", [["Service", error.message]]);
  }
}

async function showRunning() {
  const problem = byId("health-problem");
  try {
    const samples = parse(await ask("GET", "metrics"));
    problem.hidden = true;
    list("running", rows(samples));
  } catch (error) {
    // A key of the scope `read` may see the rest.
    problem.textContent = error.message;
    problem.hidden = false;
    list("running", []);
  }
}

function rows(samples) {
  const recommend = { route: "/recommend" };
  const time = (share) => milliseconds(quantile(samples, "kindred_request_seconds", share, recommend));
  const drift = above(samples, "kindred_new_item_error_percentile", UNUSUAL);
  return [
    ["Answers by status", counts(by(samples, "kindred_requests_total", "status"))],
    ["Recommendations by strategy", counts(by(samples, "kindred_recommendations_total", "strategy"))],
    ["/recommend, p50 / p99", time(0.5) && `${time(0.5)} / ${time(0.99)}`],
    ["Recommended items", counts(by(samples, "kindred_recommended_items_total", "kind"))],
    ["In work or waiting", counts(by(samples, "kindred_queue_requests", "queue")) ?? "nothing"],
    ["Refused, too many waited", counts(by(samples, "kindred_queue_refusals_total", "queue")) ?? "none"],
    ["Items written", counts(by(samples, "kindred_item_writes_total", "outcome")) ?? "none"],
    ["Artifacts loaded since", counts(by(samples, "kindred_swaps_total", "outcome")) ?? "none"],
    [
      "New items unlike training",
      drift.count
        ? `${(100 * drift.share).toFixed(0)} % of ${drift.count} have a quantization error above that of ${UNUSUAL} % of the training items (${100 - UNUSUAL} % would be usual)`
        : "none registered since the start",
    ],
    ["Memory", `${(total(samples, "process_resident_memory_bytes") / 2 ** 20).toFixed(0)} MiB`],
  ];
}

/** A moment as the reader's clock and language have it. */
function moment(at) {
  return at === undefined ? undefined : element("time", { datetime: at }, new Date(at).toLocaleString());
}

function counts(pairs) {
  return pairs.length ? pairs.map(([name, value]) => `${name} ${value.toLocaleString()}`).join(", ") : undefined;
}

function milliseconds(seconds) {
  return seconds === undefined ? undefined : `${Number((1000 * seconds).toPrecision(2))} ms`;
}
