"""Shows the networks: a table of layers, and a drawing of each as SVG."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from rich.console import Console
from rich.table import Table

from trainer.errors import InputError
from trainer.network import models
from trainer.network.models import Layer, Shape

KINDS = {
    "conv": "3×3 convolution, batch norm, ReLU",
    "pool": "2×2 max pooling",
    "dropout": "dropout",
    "up": "2×2 transposed convolution",
    "join": "join with the encoder",
    "dense": "fully connected at every pixel",
}


def show(rows: int, columns: int, model: str | None, depth: int | None, width: int | None) -> None:
    """Print a table of all networks, or one network layer by layer.

    Raises
    ------
    InputError
        There is no such model.
    """
    console = Console()
    if model is None:
        console.print(_summary(rows, columns, depth, width))
        return
    shape = models.shape_of(model, depth, width)
    console.print(_layers(shape, model, rows, columns))
    fits = _fits(shape, rows, columns)
    if fits != "yes":
        console.print(f"patches of {rows}×{columns} do not fit: {fits}")


def _summary(rows: int, columns: int, depth: int | None, width: int | None) -> Table:
    table = Table(title=f"patches of {rows}×{columns}", box=None, header_style="bold")
    for name in (
        "model",
        "depth",
        "width",
        "layers",
        "parameters",
        "MFLOP forward",
        "MFLOP a training step",
        "fits",
    ):
        left = name in ("model", "fits")
        table.add_column(name, justify="left" if left else "right", no_wrap=left)
    for name in models.MODELS:
        shape = models.shape_of(name, depth, width)
        layers = models.layers_of(shape)
        mflop = models.flops(shape, rows, columns) / 1e6
        table.add_row(
            name, str(shape.depth), str(shape.width), str(len(layers)),
            f"{sum(layer.parameters for layer in layers):,}", f"{mflop:,.1f}", f"{3 * mflop:,.1f}",
            _fits(shape, rows, columns),
        )  # fmt: skip
    return table


def _fits(shape: Shape, rows: int, columns: int) -> str:
    try:
        models.check_patch(shape, rows, columns)
    except InputError as error:
        return f"no: {error.hint}"
    return "yes"


def _layers(shape: Shape, model: str, rows: int, columns: int) -> Table:
    table = Table(title=f"{model}, depth {shape.depth}, width {shape.width}", box=None, header_style="bold")
    for name in ("layer", "output", "parameters", "MFLOP forward"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    high, wide = models.padded(shape, rows, columns)
    layers = models.layers_of(shape)
    for layer in layers:
        output = f"{high >> layer.level}×{wide >> layer.level}×{layer.channels}"
        mflop = layer.flops(high, wide) / 1e6
        table.add_row(KINDS[layer.kind], output, f"{layer.parameters:,}", f"{mflop:,.2f}" if mflop else "")
    table.add_section()
    total = models.flops(shape, rows, columns) / 1e6
    table.add_row("in all", "", f"{sum(layer.parameters for layer in layers):,}", f"{total:,.2f}")
    return table


# --- drawings -------------------------------------------------------------------------------------------------

_COLOURS = {"conv": "#4c78a8", "pool": "#e45756", "up": "#54a24b", "join": "#9d755d", "dropout": "#b8b0ac",
            "dense": "#b279a2"}  # fmt: skip
_STEP, _DROP, _LEFT, _TOP = 46, 92, 40, 64


def draw_all(folder: Path) -> list[Path]:
    """Draw every model at its defaults into ``folder/MODEL.svg``.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    paths = []
    for name, shape in models.MODELS.items():
        path = folder / f"{name}.svg"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(svg(name, shape), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror}", "choose another folder") from None
        paths.append(path)
    return paths


def svg(name: str, shape: Shape) -> str:
    """Draw a network: a box for each layer, labelled with its channels. Each pooling moves one level down."""
    layers = [layer for layer in models.layers_of(shape) if layer.kind != "dropout"]
    wide = max(820, _LEFT * 2 + _STEP * (len(layers) + 1))  # the legend is this wide
    high = _TOP + _DROP * shape.depth + 150
    parameters = sum(layer.parameters for layer in layers)
    title = f"{name}: depth {shape.depth}, width {shape.width}, {parameters:,} parameters"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    boxes = _box(-1, Layer("input", 0, 1, 1), "#777777")
    skips: list[str] = []
    encoder_places: list[int] = []
    for place, layer in enumerate(layers):
        if layer.kind == "pool":
            encoder_places.append(place - 1)
        if layer.kind == "join":
            skips += _skip(encoder_places.pop(), place, layer.level)
        boxes += _box(place, layer, _COLOURS[layer.kind])
    return "\n".join([*parts, *skips, *boxes, *_legend(high), "</svg>"]) + "\n"


def _at(place: int, level: int) -> tuple[float, float, float]:
    """Middle, top and height of a box."""
    height = max(10.0, 64 / 2**level)
    return _LEFT + _STEP * (place + 1.5), _TOP + _DROP * level + (64 - height) / 2, height


def _box(place: int, layer: Layer, colour: str) -> list[str]:
    x, y, height = _at(place, layer.level)
    return [
        f'<rect x="{x - 9:.1f}" y="{y:.1f}" width="18" height="{height:.1f}" rx="2" fill="{colour}"/>',
        f'<text x="{x:.1f}" y="{y + height + 13:.1f}" text-anchor="middle">{layer.channels}</text>',
    ]


def _skip(begin: int, end: int, level: int) -> list[str]:
    (x, y, height), (to, _, _) = _at(begin, level), _at(end, level)
    middle = y + height / 2
    return [
        f'<path d="M{x + 9:.1f} {middle:.1f} H{to - 9:.1f}"  fill="none" stroke="#9d755d" '
        'stroke-width="1.5" stroke-dasharray="5 4"/>'
    ]


def _legend(high: int) -> list[str]:
    shown = [kind for kind in KINDS if kind != "dropout"]
    parts = []
    for number, kind in enumerate(shown):
        x, y = _LEFT + 250 * (number % 3), high - 42 + 20 * (number // 3)
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="2" fill="{_COLOURS[kind]}"/>')
        parts.append(f'<text x="{x + 18}" y="{y}">{escape(KINDS[kind])}</text>')
    return parts
