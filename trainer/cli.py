"""The command line of the trainer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.errors import TrainerError

app = typer.Typer(
    help="Train small U-Nets on images of cell nuclei, and score them by SEG.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make, fetch and look at data.", no_args_is_help=True)
app.add_typer(data_app, name="data")

#: Of background, nucleus, contour.
Weights = tuple[float, float, float]

#: Exit code for a training that SIGTERM ended and that can go on: EX_TEMPFAIL of sysexits.h.
INTERRUPTED = 75


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="A folder with images/ and masks/ of the same names.")],
    extra_data: Annotated[
        list[Path] | None, typer.Option(help="A further set to train on; again for more.")
    ] = None,
    masks: Annotated[str, typer.Option(help="instances, binary, classes, or auto: look at them.")] = "auto",
    out: Annotated[Path, typer.Option(envvar="SWEEP_RESULT", help="The result.")] = Path("segMeasure.json"),
    save_model: Annotated[Path | None, typer.Option(help="Write the network there, for trainer predict.")] = None,
    keep_predictions: Annotated[
        Path | None, typer.Option(help="A folder for the test images' predictions, of the best trainings only.")
    ] = None,
    keep_best: Annotated[int, typer.Option(help="So many trainings are kept there.")] = 5,
    model: Annotated[str, typer.Option(help="simpleConv, smallUNet, smallUNet_less or UNet.")] = "smallUNet",
    depth: Annotated[int | None, typer.Option(help="Poolings; else the model's own.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels at the first level; else the model's own.")] = None,
    optimizer: Annotated[str, typer.Option(help="adam or sgd (with momentum 0.9).")] = "adam",
    learning_rate: Annotated[float, typer.Option()] = 0.001,
    schedule: Annotated[str, typer.Option(help="constant, plateau (halved there), cosine (to 0).")] = "constant",
    dropout: Annotated[float, typer.Option(help="Behind the deepest level.")] = 0.3,
    batch_size: Annotated[int, typer.Option(help="Patches a step.")] = 16,
    epochs: Annotated[int, typer.Option()] = 30,
    early_stopping: Annotated[int, typer.Option(help="End after so many epochs no better; 0: never.")] = 0,
    keep: Annotated[str, typer.Option(help="Weights of the last epoch, or of the best by its score.")] = "last",
    augmentation: Annotated[int, typer.Option(help="Training images in all; 0: the originals alone.")] = 0,
    division: Annotated[int, typer.Option(help="Each image is cut into division × division patches.")] = 4,
    blank: Annotated[int, typer.Option(min=0, max=1, help="1: add an image of background only.")] = 0,
    on_the_fly: Annotated[str, typer.Option(help="Patches: none, flips, or full (turned, zoomed …).")] = "none",
    contour: Annotated[int, typer.Option(help="The contour's width in pixels, 1 or 2.")] = 2,
    weights: Annotated[Weights, typer.Option(help="Of background, nucleus, contour in the loss.")] = (
        0.01,
        1.0,
        0.95,
    ),
    undo_weights: Annotated[
        str, typer.Option(help="Before deciding: yes, no, auto (what validates better).")
    ] = "auto",
    validation: Annotated[float, typer.Option(help="Share of the training images to validate on.")] = 0.2,
    folds: Annotated[int, typer.Option(help="Validate on one of so many parts of the training images.")] = 0,
    fold: Annotated[int, typer.Option(help="Which, from 0.")] = 0,
    validate_on: Annotated[str, typer.Option(help="validation, or test: as the report did.")] = "validation",
    seed: Annotated[int, typer.Option(envvar="SWEEP_SEED")] = 0,
    threads: Annotated[int, typer.Option(help="0: as many as there are CPUs for this job.")] = 0,
    cache: Annotated[Path | None, typer.Option(envvar="TRAINER_CACHE", help="Of prepared sets.")] = None,
    cache_gib: Annotated[float, typer.Option(min=0, help="Bound of the cache in GiB; 0: none.")] = 4.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, say what would be, train nothing.")
    ] = False,
) -> None:
    """Train one network and write its score. Called again after an interruption, it goes on."""
    _train(dict(locals()))  # the options are these parameters, one for one


def _train(given: dict[str, Any]) -> None:
    from trainer.training.interrupt import Sigterm

    sigterm = Sigterm()  # before the imports, which take seconds
    from dataclasses import fields

    from trainer.files.cache import Cache, default_folder
    from trainer.training import train
    from trainer.training.options import Options
    from trainer.training.setting import ready

    given |= {"extra_data": given["extra_data"] or [], "blank": bool(given["blank"])}
    options = Options(**{field.name: given[field.name] for field in fields(Options)})
    held = Cache(given["cache"] or default_folder(), int(min(given["cache_gib"], 2**20) * 2**30))
    if given["dry_run"]:
        print(ready(options, held).said())
        return
    result = train.train(options, held, sigterm)
    on_test = options.validate_on == "test"
    test = f", {result.test.segMeasure:.4f} (test)" if result.test and not on_test else ""
    on = "test images, as the report did" if on_test else "validation"
    print(f"segMeasure {result.segMeasure:.4f} ({on}){test} → {options.out}")


@app.command()
def score(
    truth: Annotated[Path, typer.Argument(help="A folder of reference label images.")],
    prediction: Annotated[Path, typer.Argument(help="A folder of label images of the same names.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score one folder of label images against another: SEG, F1 and AP at IoU 0.5."""
    from trainer.folders import score_folders

    made = score_folders(truth, prediction)
    if as_json:
        print(json.dumps(made, indent=1))
        return
    width = max(len(name) for name in made["images"])
    for name, value in made["images"].items():
        print(f"{name:{width}}  {'no object' if value is None else f'{value:.4f}'}")
    means = "  ".join(f"{name} {made[name]:.4f}" for name in ("segMeasure", "f1", "ap50"))
    print(f"{means}  ({made['objects']} objects)")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="What trainer train --save-model wrote.")],
    images: Annotated[Path, typer.Argument(help="A folder of images, or one image.")],
    out: Annotated[Path, typer.Option(help="Where labels/, overlays/ and objects.csv go.")],
    tile: Annotated[
        int, typer.Option(min=0, help="Side of a tile in pixels; 0: whole images where they fit.")
    ] = 0,
    pixel_um: Annotated[
        float, typer.Option(min=0, help="Size of a pixel in µm, for areas in µm²; 0: unknown.")
    ] = 0.0,
) -> None:
    """Predict images: 16-bit label PNGs, overlays with outlines, a CSV of all objects."""
    from trainer.folders import predict_folder

    objects, count = predict_folder(model, images, out, tile, pixel_um)
    print(f"{objects} objects in {count} image{'s' if count != 1 else ''} → {out}")


@app.command()
def models(
    rows: Annotated[int, typer.Option(min=1, help="Height of a patch in pixels.")] = 64,
    columns: Annotated[int, typer.Option(min=1, help="Width of a patch in pixels.")] = 80,
    model: Annotated[str | None, typer.Option(help="One of them, layer by layer.")] = None,
    depth: Annotated[int | None, typer.Option(help="Poolings; else the model's own.")] = None,
    width: Annotated[int | None, typer.Option(help="Channels at the first level; else the model's own.")] = None,
    draw: Annotated[Path | None, typer.Option(help="Draw each as an SVG into this folder.")] = None,
) -> None:
    """Show the networks: layers, shapes, parameters and FLOPs a patch."""
    from trainer.network import drawing

    if draw:
        for path in drawing.draw_all(draw):
            print(path)
        return
    drawing.show(rows, columns, model, depth, width)


@data_app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Where to write images/, masks/ and split.json.")],
    count: Annotated[int, typer.Option(help="Images.")] = 12,
    rows: Annotated[int, typer.Option(help="Height in pixels.")] = 256,
    columns: Annotated[int, typer.Option(help="Width in pixels.")] = 256,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Make microscope-like images with known masks."""
    from trainer.data.synth import write_set

    write_set(folder, count, rows, columns, seed)
    print(f"{count} images of {rows}×{columns} in {folder}")


@data_app.command()
def bbbc039(
    to: Annotated[Path, typer.Option(help="Where to write images/, masks/ and split.json.")],
    url: Annotated[
        str | None, typer.Option(help="Where the three archives are; else the Broad's own place.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="How many images there should be.")] = 200,
) -> None:
    """Fetch the Broad's BBBC039 (U2OS nuclei, CC0) and convert it. Goes on where it was interrupted."""
    from trainer.data import bbbc039

    print(bbbc039.fetch(to, url or bbbc039.URL, images))


@data_app.command("check")
def check_data(
    folder: Annotated[Path, typer.Argument(help="A folder with images/ and masks/.")],
    masks: Annotated[str, typer.Option(help="instances, binary, classes, or auto: look at them.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a set, and what is wrong with it, by file. Exit code 2 if anything is."""
    from trainer.data import check

    made = check.check_set(folder, masks)
    print(json.dumps(made, indent=1) if as_json else check.as_text(made))
    if made["wrong"]:
        sys.exit(2)


def main() -> None:
    """Run the command line; exit code 0, 1 (it failed), 2 (what was asked cannot be) or 75 (interrupted)."""
    # Set before anything imports TensorFlow; its greeting is for others.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from trainer.training.interrupt import Interrupted

    try:
        app()
    except Interrupted:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as error:
        print(f"error: the trainer needs {error.name}, which is not installed", file=sys.stderr)
        print("hint: pip install '.[trainer]', or '.[trainer-cpu]' without CUDA", file=sys.stderr)
        sys.exit(2)
    except TrainerError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        # What no one foresaw: a name that is too long, a folder that may not be entered.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
