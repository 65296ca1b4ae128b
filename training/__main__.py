"""The command line: python -m training demo | validate | train | evaluate | inspect | report | baselines."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from model.artifact import Artifact, ArtifactError
from training.baselines.command import baselines
from training.console import progress_display
from training.datasets import DatasetError, write_dataset
from training.datasets.demo import DEMO_README, generate_demo
from training.datasets.problems import examples, problems_to_dict
from training.evaluate.artifact_evaluation import (
    PROTOCOLS,
    artifact_sequences,
    dataset_sequences,
    evaluate_artifact,
    groups,
)
from training.evaluate.metrics import summary
from training.evaluate.negatives import can_sample
from training.export.card import model_card
from training.export.export import export
from training.fit.checkpoint import CheckpointError
from training.fit.trainer import Trainer
from training.options import (
    DEMO,
    ColumnOption,
    CoreOption,
    DataOption,
    FormatOption,
    ItemsOption,
    OnError,
    OnErrorOption,
    SeedOption,
    ThreadsOption,
    TimeUnitOption,
    bound_codebooks,
    build_device,
    build_recipe,
    check_folder,
    first_error,
    gives_codebook_size,
    limit_threads,
    read_data,
)
from training.report.command import report

_UNFINISHED = ".training"  # in the artifact root: checkpoints of unfinished runs

app = typer.Typer(
    help="Train, evaluate and inspect Kindred models.", no_args_is_help=True, pretty_exceptions_enable=False
)

ArtifactOption = Annotated[Path, typer.Option("--artifact", help="artifact root, or one version's folder")]


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", help="folder to write")],
    seed: SeedOption = 0,
) -> None:
    """Write the synthetic demo data set as interactions.csv and items.jsonl; never overwrite other files."""
    check_folder(output, "--output")
    readme = output / "README.md"
    ours = readme.is_file() and readme.read_bytes() == DEMO_README.encode()
    names = ("interactions.csv", "items.jsonl", readme.name)
    if not ours and (there := [name for name in names if (output / name).exists()]):
        raise typer.BadParameter(
            f"{output}: already holds {', '.join(there)}; choose another folder", param_hint="--output"
        )
    dataset = generate_demo(seed)
    write_dataset(dataset, output)
    readme.write_bytes(DEMO_README.encode())
    typer.echo(f"{output}: {dataset.n_users:,} users, {dataset.n_items:,} items, {dataset.n_interactions:,} purchases")


@app.command()
def validate(
    data: DataOption,
    items: ItemsOption = None,
    format: FormatOption = "auto",
    column: ColumnOption = None,
    time_unit: TimeUnitOption = "s",
    core: CoreOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Read a data set, count it, and list every problem with file and line. Exit with status 1 if there is one."""
    try:
        report = read_data(data, items, format, column, time_unit, core, OnError.drop).report
    except DatasetError as error:
        if not error.counts:
            raise
        # Every row is bad. The user asked for the bad rows, so print them.
        found = {"error": str(error)} | problems_to_dict(error.counts, error.problems, error.groups)
        typer.echo(json.dumps(found, indent=1) if as_json else "\n".join([str(error), *examples(error.groups)]))
        raise typer.Exit(1) from None
    typer.echo(json.dumps(report.to_dict(), indent=1) if as_json else "\n".join(report.lines()))
    if report.problem_counts:
        raise typer.Exit(1)


@app.command()
def train(
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", help="artifact root")],
    items: ItemsOption = None,
    format: FormatOption = "auto",
    column: ColumnOption = None,
    time_unit: TimeUnitOption = "s",
    core: CoreOption = 0,
    on_error: OnErrorOption = OnError.fail,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="default, paper or demo; the demo data uses demo")
    ] = None,
    seed: SeedOption = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="most epochs to train for")] = None,
    tokens: Annotated[str | None, typer.Option("--tokens", help="token type: hybrid, id or semantic")] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="distance of each level, for example cosine,cosine,euclidean")
    ] = None,
    codebook_size: Annotated[int | None, typer.Option("--codebook-size", help="codewords per level")] = None,
    id_dim: Annotated[int | None, typer.Option("--id-dim", help="width of the ID embedding")] = None,
    reconstruction: Annotated[bool | None, typer.Option(help="add text reconstruction to the objective")] = None,
    text_encoder: Annotated[
        str | None, typer.Option("--text-encoder", help="tfidf, or a sentence-transformers model by name or folder")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="set any field of the recipe: field=value")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda; by default a GPU if there is one")
    ] = None,
    threads: ThreadsOption = None,
    evaluation_data: Annotated[
        bool,
        typer.Option(
            help="keep the sequences (no user identifiers) in the artifact, so that evaluate needs no other data"
        ),
    ] = True,
) -> None:
    """Train a tokenizer and a recommender together, and export them as a new version of the artifact root.

    After an interruption, run the same command again: it resumes after its last epoch.
    """
    started = time.perf_counter()
    check_folder(output, "--output")
    check_folder(output / _UNFINISHED, "--output")
    limit_threads(threads)
    changes = {
        "epochs": epochs,
        "tokens": tokens,
        "metrics": tuple(metrics.split(",")) if metrics else None,
        "codebook_size": codebook_size,
        "id_dim": id_dim,
        "reconstruction": reconstruction,
        "text_encoder": text_encoder,
    }
    chosen = build_recipe(recipe or ("demo" if data == DEMO else "default"), changes, settings or [])
    dataset = read_data(data, items, format, column, time_unit, core, on_error)
    typer.echo(
        f"{dataset.name}: {dataset.n_users:,} users, {dataset.n_items:,} items, "
        f"{dataset.n_interactions:,} interactions, {dataset.report.dates()}; recipe {chosen.name}, seed {seed}",
        err=True,
    )
    warnings = [f"WARNING: {warning}" for warning in dataset.report.warnings]
    for line in (*warnings, *dataset.report.summary_of_losses()):
        typer.echo(line, err=True)
    chosen = bound_codebooks(chosen, dataset, codebook_size is not None or gives_codebook_size(settings or []))
    trainer = Trainer(dataset, chosen, seed=seed, device=build_device(device))
    run = hashlib.sha256(json.dumps(trainer.key, sort_keys=True).encode()).hexdigest()[:16]
    checkpoint = output / _UNFINISHED / f"{run}.safetensors"
    with progress_display(trainer.recipe.monitor) as progress:
        trainer.fit(checkpoint, progress)
        progress.message("measuring and exporting")
        artifact = export(trainer, output, evaluation_data=evaluation_data)
    checkpoint.unlink(missing_ok=True)  # a second run of the same command may have removed it
    # The kernel counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    for name, values in artifact.manifest.metrics.items():
        typer.echo(f"{name:14s} HIT@10 {values['hit@10']:.4f}  NDCG@10 {values['ndcg@10']:.4f}")
    typer.echo(f"{artifact.path}  ({time.perf_counter() - started:.0f} s, peak memory {peak:.2f} GiB)")


@app.command()
def evaluate(
    artifact: ArtifactOption,
    protocol: Annotated[str, typer.Option("--protocol", help="full, sampled or both")] = "both",
    data: Annotated[
        str | None, typer.Option("--data", help="use this data set instead of the one in the artifact")
    ] = None,
    items: ItemsOption = None,
    format: FormatOption = "auto",
    column: ColumnOption = None,
    time_unit: TimeUnitOption = "s",
    core: CoreOption = 0,
    on_error: OnErrorOption = OnError.fail,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
    threads: ThreadsOption = None,
) -> None:
    """Measure an artifact on the test split: predict each user's last item from all items before it."""
    limit_threads(threads)
    if protocol not in (*PROTOCOLS, "both"):
        raise typer.BadParameter(f"{protocol!r}: expected full, sampled or both", param_hint="--protocol")
    loaded = Artifact.load(artifact)
    if data is None:
        sequences = artifact_sequences(loaded)
    else:
        sequences = dataset_sequences(loaded, read_data(data, items, format, column, time_unit, core, on_error))
    results: dict[str, dict[str, float]] = {}
    protocols = list(PROTOCOLS) if protocol == "both" else [protocol]
    if protocol == "both" and not can_sample(sequences, len(loaded.items)):
        typer.echo(
            "sampled: skipped, because some user has fewer than 99 items of this catalogue left to draw", err=True
        )
        protocols.remove("sampled")
    for name in protocols:
        started = time.perf_counter()
        ranks = evaluate_artifact(loaded, sequences, name)
        results[name] = summary(ranks)
        seconds = time.perf_counter() - started
        results |= {
            f"{name}, {group}": summary(ranks.take(mask)) | {"users": int(mask.sum())}
            for group, mask in groups(loaded, sequences).items()
        }
        results[name] |= {"users": len(sequences), "seconds": round(seconds, 2)}
    if as_json:
        typer.echo(json.dumps({"version": loaded.version, "test": results}, indent=1))
        return
    typer.echo(f"{loaded.version}, test split, {len(sequences):,} users")
    columns = ("hit@1", "hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr")
    typer.echo(f"{'':44s}" + "".join(f"{column:>9s}" for column in columns) + "    users")
    for name, values in results.items():
        cells = "".join(f"{values[column]:9.4f}" for column in columns)
        typer.echo(f"{name:44s}{cells}{values['users']:9,.0f}")


@app.command()
def inspect(artifact: ArtifactOption) -> None:
    """Print the card of an artifact: sizes, token parameters, codebook usage, collisions, metrics."""
    loaded = Artifact.load(artifact)
    typer.echo(model_card(loaded.manifest))
    typer.echo("## Files\n")
    for name, entry in sorted(loaded.manifest.files.items()):
        typer.echo(f"- {name}: {entry.size / 2**20:.2f} MiB")


app.command()(report)
app.command()(baselines)


def main() -> None:
    """Run the command line. An error that the user can fix prints one line on stderr and exits with status 2."""
    try:
        app()
    except ValidationError as error:
        typer.echo(f"error: {first_error(error)}", err=True)
        sys.exit(2)
    except (DatasetError, ArtifactError, CheckpointError, ImportError, ValueError, ArithmeticError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
