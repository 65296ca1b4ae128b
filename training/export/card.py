"""The model card: an artifact's README, made from its manifest."""

from __future__ import annotations

from model.manifest import Manifest


def model_card(manifest: Manifest) -> str:
    """Markdown for `<version>/README.md` and for `python -m training inspect`."""
    data, tokens = manifest.dataset, manifest.tokens
    lines = [
        f"# {data.name}: artifact {manifest.version}",
        "",
        f"Made {manifest.created} by the recipe `{manifest.recipe['name']}`, seed {manifest.seed}, from "
        f"{data.n_users:,} users, {data.n_items:,} items and {data.n_interactions:,} interactions.",
        "",
        "| split / protocol | HIT@10 | NDCG@10 | MRR |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {values['hit@10']:.4f} | {values['ndcg@10']:.4f} | {values['mrr']:.4f} |"
        for name, values in manifest.metrics.items()
    ]
    config = manifest.tokenizer
    lines += ["", "## Tokens", "", f"- token type: {config.tokens}, {config.dim} dimensions"]
    if config.has_semantic:
        lines += [
            f"- semantic: {config.levels} levels ({', '.join(config.metrics)}) of {config.codebook_size} codewords, "
            f"{config.semantic_dim} dimensions",
            f"- codewords in use, by level: {', '.join(f'{share:.1%}' for share in tokens['usage'])}",
            f"- distinct semantic IDs: {tokens['distinct']:.1%} of the items; "
            f"{tokens['unique']:.1%} have a semantic ID of their own; at most {tokens['largest_collision']} share one",
        ]
    if config.has_id:
        lines.append(f"- ID embedding: {config.id_dim} dimensions; cold items: {config.cold_policy}")
    lines += [
        f"- neighbours, {kind}: up to {each.count} per item, weight {each.weight:g}"
        for kind, each in manifest.neighbours.items()
    ]
    parameters = tokens["parameters"]
    lines += [
        f"- token parameters: {parameters['total']:,} against {parameters['id_only_64']:,} in a full 64-d ID table "
        f"({-parameters['saving']:+.1%})",
        f"- text encoder: {manifest.text_encoder.spec['kind']}, {manifest.text_encoder.dim} dimensions",
        "",
        "## Training",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in manifest.training.items()),
        "",
        "Metrics are exact expectations over random orders of tied scores. Sampled-99 ranks the target among 99 random "
        "items that the user never interacted with. Full ranking masks the history and ranks the whole catalogue.",
        "",
    ]
    return "\n".join(lines)
