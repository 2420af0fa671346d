"""The command line of the trainer."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from trainer.errors import TrainerError
from trainer.training.options import Options, declaration_of

app = typer.Typer(
    help="Train small U-Nets on images of cell nuclei, and score them by SEG.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make, fetch and check data.", no_args_is_help=True)
app.add_typer(data_app, name="data")

#: Exit code for a training that was stopped and can go on: EX_TEMPFAIL of sysexits.h.
INTERRUPTED = 75


def _takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of `Options` as parameters, in place of its own ``**given``."""
    types = get_type_hints(Options)
    parameters = [_parameter(declared, types[declared.name]) for declared in fields(Options)]
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters += [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameter(declared: Field[Any], kind: Any) -> inspect.Parameter:
    """Make the parameter of one option: typer reads its type, help, variable and default."""
    declaration = declaration_of(declared)
    default: Any = inspect.Parameter.empty if declared.default is MISSING else declared.default
    option = typer.Option(help=declaration.help, envvar=declaration.variable)
    if kind is bool:  # the parameters of a grid are values, so a switch is 0 or 1
        kind, default, option.min, option.max = int, int(default), 0, 1
    if kind == tuple[Path, ...]:  # an option that may be repeated
        kind, default = list[Path] | None, None
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(declared.name, keyword_only, default=default, annotation=Annotated[kind, option])


@app.command()
@_takes_options
def train(
    *,
    cache: Annotated[Path | None, typer.Option(envvar="TRAINER_CACHE", help="Folder of prepared sets.")] = None,
    cache_gib: Annotated[float, typer.Option(min=0, help="Bound of the cache in GiB; 0: no cache.")] = 4.0,
    until: Annotated[
        int,
        typer.Option(
            min=0,
            envvar="SWEEP_UNTIL",
            help="Stop after so many epochs, with exit code 75; the same command goes on. More than --epochs: "
            "train so many.",
        ),
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would be trained, and stop.")
    ] = False,
    **given: Any,
) -> None:
    """Train one network and write its score. After an interruption the same command goes on."""
    from trainer.training.interrupt import Sigterm

    sigterm = Sigterm()  # before the imports, which take seconds
    from trainer.files.cache import Cache, default_folder
    from trainer.training import train as training
    from trainer.training.setting import make_setting

    switches = {name: bool(given[name]) for name in ("blank", "keep_checkpoint", "tta")}
    options = Options(**given | switches | {"extra_data": tuple(given["extra_data"] or ())})
    folder = cache or default_folder()
    if folder is None:
        print(
            "note: you have no home folder, so prepared data is not kept; TRAINER_CACHE names one", file=sys.stderr
        )
    prepared_sets = Cache(folder or Path(), int(min(cache_gib, 2**20) * 2**30) if folder else 0)
    if dry_run:
        print(make_setting(options, prepared_sets).summary())
        return
    result = training.train(options, prepared_sets, sigterm, until)
    on_test = options.validate_on == "test"
    images = "test images: no unseen images are left" if on_test else "validation"
    parts = {images: result.validation} | ({} if on_test else {"test": result.test})
    texts = [
        f"{part.segMeasure:.4f} ({name}: {part.found} found, {part.objects} true)"
        for name, part in parts.items()
        if part
    ]
    print(f"segMeasure {', '.join(texts)} → {options.out}")


@app.command()
def score(
    truth: Annotated[Path, typer.Argument(help="A folder of reference masks; of 01_GT/SEG, for instance.")],
    prediction: Annotated[
        Path, typer.Argument(help="A folder of label images of the same names; or 01_RES, with mask000.tif.")
    ],
    masks: Annotated[
        str, typer.Option(help="How the reference is written: instances, binary, classes, or auto.")
    ] = "auto",
    partial: Annotated[bool, typer.Option("--partial", help="Leave out results without a reference.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score one folder of label images against another: SEG, F1 and AP at IoU 0.5."""
    from trainer.folders import score_folders

    scores, notes = score_folders(truth, prediction, masks, partial=partial)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(scores, indent=1))
        return
    width = max(len(name) for name in scores["images"])
    for name, value in scores["images"].items():
        print(f"{name:{width}}  {'no object' if value is None else f'{value:.4f}'}")
    means = "  ".join(f"{name} {scores[name]:.4f}" for name in ("segMeasure", "f1", "ap50"))
    left_out = scores["without_truth"]
    spare = f"; {left_out} result{'s' if left_out != 1 else ''} without a reference left out" if left_out else ""
    print(f"{means}  ({scores['objects']} objects, {scores['found']} found, masks as {scores['masks']}{spare})")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="The file that trainer train --save-model wrote.")],
    images: Annotated[Path, typer.Argument(help="A folder of images, or one image.")],
    out: Annotated[Path, typer.Option(help="The folder for labels/, overlays/ and objects.csv.")],
    tile: Annotated[
        int, typer.Option(min=0, help="The side of a tile in pixels; 0: whole images where they fit.")
    ] = 0,
    pixel_um: Annotated[
        float, typer.Option(min=0, help="The side of a pixel in µm, for areas in µm²; 0: unknown.")
    ] = 0.0,
    tta: Annotated[
        bool | None,
        typer.Option(
            "--tta/--no-tta",
            help="The mean of the eight views of an image: 8 times as long. Without it, as the model was scored.",
        ),
    ] = None,
) -> None:
    """Predict images: write 16-bit label PNGs, overlays with outlines, and a CSV of all objects."""
    from trainer.folders import predict_folder

    objects, count, truth = predict_folder(model, images, out, tile, pixel_um, tta)
    true = f" ({truth} true)" if truth is not None else ""
    print(f"{objects} objects in {count} image{'s' if count != 1 else ''}{true} → {out}")


@app.command()
def models(
    rows: Annotated[int, typer.Option(min=1, help="The height of a patch in pixels.")] = 64,
    columns: Annotated[int, typer.Option(min=1, help="The width of a patch in pixels.")] = 80,
    model: Annotated[str | None, typer.Option(help="Show one model, layer by layer.")] = None,
    depth: Annotated[int | None, typer.Option(help="Number of poolings. Without it, the model's own.")] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels at the first level. Without it, the model's own.")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Draw each model as an SVG into this folder.")] = None,
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
    folder: Annotated[Path, typer.Argument(help="The folder for images/, masks/ and split.json.")],
    count: Annotated[int, typer.Option(help="The number of images.")] = 12,
    rows: Annotated[int, typer.Option(help="The height in pixels.")] = 256,
    columns: Annotated[int, typer.Option(help="The width in pixels.")] = 256,
    seed: Annotated[int, typer.Option(help="The seed: the same one makes the same images.")] = 0,
) -> None:
    """Make microscope-like images with known masks."""
    from trainer.data.synth import write_set

    write_set(folder, count, rows, columns, seed)
    print(f"{count} images of {rows}×{columns} in {folder}")


@data_app.command()
def bbbc039(
    to: Annotated[Path, typer.Option(help="The folder for images/, masks/ and split.json.")],
    url: Annotated[
        str | None, typer.Option(help="Another place of the three archives than the Broad's server.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="The number of images that the set must have.")] = 200,
) -> None:
    """Fetch BBBC039 of the Broad (U2OS nuclei, CC0) and convert it. An interrupted download goes on."""
    from trainer.data import bbbc039

    print(bbbc039.fetch(to, url or bbbc039.URL, images))


@data_app.command("check")
def check_data(
    folder: Annotated[Path, typer.Argument(help="A folder with images/ and masks/.")],
    masks: Annotated[
        str, typer.Option(help="How masks are written: instances, binary, classes, or auto.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="The seed that draws the images to validate on.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a set, and what is wrong with it, by file. Exit code 2 if anything is wrong."""
    from trainer.data import check

    checked = check.check_set(folder, masks, seed)
    print(json.dumps(checked, indent=1) if as_json else check.as_text(checked))
    if checked["wrong"]:
        sys.exit(2)


def main() -> None:
    """Run the command line; exit code 0, 1 (it failed), 2 (it cannot be done as asked) or 75 (interrupted)."""
    # Before TensorFlow is imported: its greeting would be on every trial's stderr.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from trainer.training.interrupt import Interrupted

    try:
        app()
    except Interrupted as interrupted:
        print(f"{interrupted}: the same command goes on from here", file=sys.stderr)
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
        # For example a name that is too long, or a folder that may not be entered.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
