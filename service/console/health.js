// Health: which model serves, and the metrics since the start. Asks again every few seconds while the page is shown.

import { ask } from "./api.js";
import { showCard } from "./card.js";
import { byId, element, list } from "./dom.js";
import { above, by, parse, quantile, total } from "./metrics.js";

const SECONDS = 5;
const UNUSUAL = 95; // percentile of the training items' quantization error

const REGISTRIES = { sqlite: "SQLite", postgresql: "PostgreSQL" };

let timer;
let showing; // the current round of asking; another one, or none, once the user has left the page

/** Show the page's figures from now on, until `stopHealth`. */
export async function startHealth() {
  stopHealth();
  const own = (showing = {});
  await Promise.all([showServed(), showRunning()]);
  if (showing === own) timer = setTimeout(startHealth, 1000 * SECONDS);
}

/** Stop asking. */
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
      ["Last swap", swap && element("span", {}, moment(swap.at), `, replaced ${swap.old_version}`)],
      ["Time to start", version.started_seconds === undefined ? undefined : `${version.started_seconds} s`],
      ["Refused artifact", version.refused && `${version.refused.version ?? "no version"}: ${version.refused.reason}`],
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
    // A key of the scope `read` still shows the rest of the page.
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
    ["Requests in progress", counts(by(samples, "kindred_queue_requests", "queue")) ?? "nothing"],
    ["Refused as overloaded", counts(by(samples, "kindred_queue_refusals_total", "queue")) ?? "none"],
    ["Items written", counts(by(samples, "kindred_item_writes_total", "outcome")) ?? "none"],
    ["Artifact swaps", counts(by(samples, "kindred_swaps_total", "outcome")) ?? "none"],
    [
      "New items unlike training",
      drift.count
        ? `${(100 * drift.share).toFixed(0)} % of ${drift.count} fit their codes worse than ${UNUSUAL} % of the training items (usual: ${100 - UNUSUAL} %)`
        : "none registered since the start",
    ],
    ["Memory", `${(total(samples, "process_resident_memory_bytes") / 2 ** 20).toFixed(0)} MiB`],
  ];
}

/** A moment in the reader's time zone and language. */
function moment(at) {
  return at === undefined ? undefined : element("time", { datetime: at }, new Date(at).toLocaleString());
}

function counts(pairs) {
  return pairs.length ? pairs.map(([name, value]) => `${name} ${value.toLocaleString()}`).join(", ") : undefined;
}

function milliseconds(seconds) {
  return seconds === undefined ? undefined : `${Number((1000 * seconds).toPrecision(2))} ms`;
}
