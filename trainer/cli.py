"""The command line of the trainer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from trainer.errors import TrainerError

app = typer.Typer(
    help="Train small U-Nets on images of cell nuclei, and score them by SEG.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make and look at data.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="A folder with images/ and masks/ of the same names.")],
    out: Annotated[Path, typer.Option(envvar="SWEEP_RESULT", help="The result.")] = Path("segMeasure.json"),
    model: Annotated[str, typer.Option(help="simpleConv, smallUNet, smallUNet_less or UNet.")] = "smallUNet",
    depth: Annotated[int | None, typer.Option(help="Poolings; else the model's own.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels at the first level; else the model's own.")] = None,
    optimizer: Annotated[str, typer.Option(help="adam or sgd (with momentum 0.9).")] = "adam",
    learning_rate: Annotated[float, typer.Option()] = 0.001,
    dropout: Annotated[float, typer.Option(help="Behind the deepest level.")] = 0.3,
    batch_size: Annotated[int, typer.Option()] = 16,
    epochs: Annotated[int, typer.Option()] = 30,
    augmentation: Annotated[int, typer.Option(help="Training images in all; 0: the originals alone.")] = 0,
    division: Annotated[int, typer.Option(help="Each image is cut into division × division patches.")] = 4,
    blank: Annotated[int, typer.Option(min=0, max=1, help="1: add an image of background only.")] = 0,
    flips: Annotated[bool, typer.Option(help="Mirror patches at random.")] = True,
    contour: Annotated[int, typer.Option(help="The contour's width in pixels.")] = 2,
    weights: Annotated[
        tuple[float, float, float], typer.Option(help="Of background, nucleus, contour in the loss.")
    ] = (0.3, 1.0, 1.5),
    validation: Annotated[float, typer.Option(help="Share of the training images to validate on.")] = 0.2,
    seed: Annotated[int, typer.Option(envvar="SWEEP_SEED")] = 0,
    threads: Annotated[int, typer.Option(help="0: as many as there are CPUs for this job.")] = 0,
) -> None:
    """Train one network and write its score."""
    from trainer import train as training

    options = training.Options(
        data=data,
        out=out,
        model=model,
        depth=depth,
        width=width,
        optimizer=optimizer,
        learning_rate=learning_rate,
        dropout=dropout,
        batch_size=batch_size,
        epochs=epochs,
        augmentation=augmentation,
        division=division,
        blank=bool(blank),
        flips=flips,
        contour_px=contour,
        weights=weights,
        validation=validation,
        seed=seed,
        threads=threads,
    )
    result = training.train(options)
    print(f"segMeasure {result['segMeasure']:.4f} (validation), {result['test']['segMeasure']:.4f} (test) → {out}")


@data_app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Where to write images/, masks/ and split.json.")],
    count: Annotated[int, typer.Option(help="Images.")] = 12,
    rows: Annotated[int, typer.Option(help="Height in pixels.")] = 256,
    columns: Annotated[int, typer.Option(help="Width in pixels.")] = 256,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Make microscope-like images with known masks."""
    from trainer.synth import write_set

    write_set(folder, count, rows, columns, seed)
    print(f"{count} images of {rows}×{columns} in {folder}")


def main() -> None:
    """Run the command line; exit code 0, 1 (it failed) or 2 (what was asked cannot be)."""
    # Set before anything imports TensorFlow; its greeting is for others.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except ModuleNotFoundError as error:
        print(f"error: the trainer needs {error.name}, which is not installed", file=sys.stderr)
        print("hint: pip install '.[trainer]', or '.[trainer-cpu]' without CUDA", file=sys.stderr)
        sys.exit(2)
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
