"""The networks. Fully convolutional: any size goes in, three logits a pixel come out."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from trainer.errors import InputError

#: A side of a patch, after all its poolings, is at least so many pixels; fewer see nothing but padding.
LEAST_PX = 4


@dataclass(frozen=True)
class Shape:
    """What makes a network of a family.

    Attributes
    ----------
    depth : int
        Poolings; 0 is none.
    width : int
        Channels at the first level, doubled at each pooling.
    dense : bool
        Three fully connected layers applied at every pixel, behind the decoder.
    """

    depth: int
    width: int
    dense: bool


#: The report's four models with their defaults. simpleConv has no pooling; UNet is Ronneberger et al.,
#: "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, with padded convolutions.
MODELS = {
    "simpleConv": Shape(depth=0, width=16, dense=False),
    "smallUNet": Shape(depth=2, width=16, dense=True),
    "smallUNet_less": Shape(depth=2, width=16, dense=False),
    "UNet": Shape(depth=4, width=64, dense=False),
}


def shape_of(model: str, depth: int | None, width: int | None) -> Shape:
    """Look up a model's shape, with what was asked for instead of its defaults.

    Raises
    ------
    InputError
        There is no such model, or the numbers make none.
    """
    if model not in MODELS:
        close = get_close_matches(model, MODELS, n=1)
        raise InputError(
            f"there is no model {model!r}", f"did you mean {close[0]!r}?" if close else ", ".join(MODELS)
        )
    default = MODELS[model]
    made = Shape(
        default.depth if depth is None else depth, default.width if width is None else width, default.dense
    )
    if not 0 <= made.depth <= 6 or not 1 <= made.width <= 512:
        raise InputError(
            f"depth {made.depth} and width {made.width} make no network", "depth 0 to 6, width 1 to 512"
        )
    return made


def check_patch(shape: Shape, rows: int, columns: int) -> None:
    """Refuse a network that is too deep for its patches.

    Sides that no power of two divides are padded by reflection and cropped again; that is no obstacle.

    Raises
    ------
    InputError
        A side would shrink below four pixels: 16×20 takes 2 poolings, 32×40 takes 3, 64×80 takes 4.
    """
    least = min(rows, columns)
    if least < LEAST_PX << shape.depth:
        most = max(0, (least // LEAST_PX).bit_length() - 1)
        raise InputError(
            f"patches of {rows}×{columns} are too small for {shape.depth} poolings",
            f"at most {most}: lower --depth, or --division",
        )


def build(shape: Shape, dropout: float, seed: int) -> Any:
    """Build the network, its weights drawn from `seed`.

    Returns
    -------
    keras.Model
        (batch, rows, columns, 1) float32 → (batch, rows, columns, 3) logits; rows and columns multiples of
        ``2**depth``.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)

    def block(x: Any, channels: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
        return x

    x = inputs = keras.Input((None, None, 1))
    skipped = []
    for level in range(shape.depth):
        x = block(x, shape.width << level)
        skipped.append(x)
        x = layers.MaxPooling2D()(x)
    x = block(x, shape.width << shape.depth)
    x = layers.Dropout(dropout, seed=seed)(x)
    for level in reversed(range(shape.depth)):
        x = layers.Conv2DTranspose(shape.width << level, 2, strides=2, kernel_initializer="he_normal")(x)
        x = layers.Concatenate()([skipped[level], x])
        x = block(x, shape.width << level)
    if shape.dense:
        for channels in (64, 32, 16):
            x = layers.Dense(channels, activation="relu", kernel_initializer="he_normal")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))
