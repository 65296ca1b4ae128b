// The model's card. Shows only what the artifact tells.

import { ask } from "./api.js";
import { bars } from "./bars.js";
import { byId, element, fill, list } from "./dom.js";

const MEASURES = [["hit@10", "HIT@10"], ["ndcg@10", "NDCG@10"], ["mrr", "MRR"]];

let shown; // the version whose card is on the page

/** Show the card of the model that serves. `version` names it; undefined where none serves. */
export async function showCard(version) {
  if (version === shown && version !== undefined) return;
  const note = byId("card-note");
  shown = undefined;
  try {
    if (version === undefined) throw new Error("No model is serving.");
    const card = await ask("GET", "model");
    list("card-facts", facts(card));
    fill(byId("card-metrics"), metrics(card));
    fill(byId("card-levels"), levels(card.tokens.semantic));
    note.hidden = true;
    shown = card.version; // not the one asked for: another may have taken over meanwhile
  } catch (error) {
    for (const id of ["card-facts", "card-metrics", "card-levels"]) fill(byId(id), []);
    note.textContent = error.message;
    note.hidden = false;
  }
}

function facts({ dataset, tokens, training, ...card }) {
  const { semantic, id, parameters } = tokens;
  return [
    ["Version", card.version],
    ["Made", card.created],
    ["Recipe", joined([card.recipe, `seed ${card.seed}`])],
    ["Data", `${dataset.name}: ${many(dataset.users, "user")}, ${many(dataset.items, "item")}, ${many(dataset.interactions, "interaction")}`],
    ["Tokens", `${tokens.type}, ${many(tokens.dim, "dimension")}`],
    ["Semantic", semantic && `${many(semantic.levels.length, "level")} of ${many(semantic.codebook_size, "codeword")}, ${many(semantic.dim, "dimension")}`],
    ["ID", id && `${many(id.dim, "dimension")}; for a cold item: ${id.cold_policy}`],
    ["Semantic IDs", semantic && joined([
      semantic.distinct !== undefined && `${percent(semantic.distinct)} distinct`,
      semantic.unique !== undefined && `${percent(semantic.unique)} of the items have one of their own`,
      semantic.largest_collision !== undefined && `at most ${semantic.largest_collision.toLocaleString()} items share one`,
    ])],
    ["Token parameters", parameters && joined([
      parameters.total?.toLocaleString(),
      parameters.saving !== undefined && saving(parameters),
    ])],
    ["Neighbours", joined(Object.entries(card.neighbours).map(([kind, each]) => `${kind}: up to ${each.count.toLocaleString()}, weight ${each.weight}`))],
    ["Text encoder", joined([card.text_encoder.kind, many(card.text_encoder.dim, "dimension")])],
    ["Training", training && joined([
      training.epochs !== undefined && many(training.epochs, "epoch"),
      training.seconds_per_epoch !== undefined && `${training.seconds_per_epoch} s each`,
      training.machine,
      training.device,
    ])],
    ["Libraries", joined(Object.entries(card.libraries).map(([name, version]) => `${name} ${version}`))],
  ];
}

function saving({ saving: share, id_only_64: full }) {
  const against = full === undefined ? "a full 64-d ID table" : `the ${full.toLocaleString()} of a full 64-d ID table`;
  return `${percent(Math.abs(share))} ${share < 0 ? "more" : "less"} than ${against}`;
}

function metrics(card) {
  const measured = Object.entries(card.metrics);
  if (!measured.length) return [];
  const head = ["split / protocol", ...MEASURES.map(([, name]) => name)];
  const row = ([name, values]) => [name, ...MEASURES.map(([key]) => values[key]?.toFixed(4) ?? "–")];
  return [table("Measured at training", head, measured.map(row))];
}

function levels(semantic) {
  if (!semantic?.levels.some((level) => level.usage !== undefined)) return [];
  const row = (level, at) => [
    `${at + 1}: ${level.distance}`,
    level.usage === undefined ? null : bars([["semantic", 0, 100 * Math.min(1, Math.max(0, level.usage))]]),
    level.usage === undefined ? "–" : percent(level.usage),
  ];
  return [table("Codewords in use", ["level", "", "share"], semantic.levels.map(row))];
}

/** A table whose first column names its rows. */
function table(caption, head, rows) {
  const heading = (name) => (name ? element("th", { scope: "col" }, name) : element("td"));
  const line = ([name, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell)));
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head.map(heading))),
    element("tbody", {}, ...rows.map(line)),
  );
}

/** The parts that have a value, as one text; undefined where none has one. */
function joined(parts) {
  return parts.filter(Boolean).join("; ") || undefined;
}

function many(count, what) {
  return `${count.toLocaleString()} ${what}${count === 1 ? "" : "s"}`;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
