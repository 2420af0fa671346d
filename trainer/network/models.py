"""The networks as data: a list of layers, from which the network, its table and its drawing are made.

All networks are fully convolutional: an image of any size goes in, three logits a pixel come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from trainer.errors import InputError
from trainer.network.kernels import batch_normalization

#: After all poolings a side of a patch has at least this many pixels. A smaller one sees only padding.
MIN_POOLED_PX = 4

#: Channels of the fully connected layers that smallUNet applies at every pixel.
DENSE = (64, 32, 16)


@dataclass(frozen=True)
class Shape:
    """What makes a network of a family.

    Attributes
    ----------
    depth : int
        Poolings; 0 is none.
    width : int
        Channels at the first level. Each pooling doubles them.
    dense : bool
        Three fully connected layers at every pixel, after the decoder.
    """

    depth: int
    width: int
    dense: bool


#: The four models with their defaults. simpleConv has no pooling. UNet is that of Ronneberger et al., "U-Net:
#: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, with padded convolutions and batch
#: normalisation. The small ones are the same network with fewer levels.
MODELS = {
    "simpleConv": Shape(depth=0, width=16, dense=False),
    "smallUNet": Shape(depth=2, width=16, dense=True),
    "smallUNet_less": Shape(depth=2, width=16, dense=False),
    "UNet": Shape(depth=4, width=64, dense=False),
}


def shape_of(model: str, depth: int | None, width: int | None) -> Shape:
    """Look up the shape of a model. A depth or width that is given replaces the default.

    Raises
    ------
    InputError
        There is no such model, or the depth or width is out of bounds.
    """
    if model not in MODELS:
        close = get_close_matches(model, MODELS, n=1)
        raise InputError(
            f"there is no model {model!r}", f"did you mean {close[0]!r}?" if close else ", ".join(MODELS)
        )
    default = MODELS[model]
    shape = Shape(
        default.depth if depth is None else depth, default.width if width is None else width, default.dense
    )
    if not 0 <= shape.depth <= 6 or not 1 <= shape.width <= 512:
        raise InputError(
            f"depth {shape.depth} and width {shape.width} make no network", "depth 0 to 6, width 1 to 512"
        )
    return shape


def check_patch(shape: Shape, rows: int, columns: int) -> None:
    """Refuse a network that is too deep for its patches.

    A side that the poolings cannot halve is filled up and cropped again; that is no obstacle.

    Raises
    ------
    InputError
        A side would shrink below four pixels: 16×20 takes 2 poolings, 32×40 takes 3, 64×80 takes 4.
    """
    shortest = min(rows, columns)
    if shortest < MIN_POOLED_PX << shape.depth:
        most = max(0, (shortest // MIN_POOLED_PX).bit_length() - 1)
        raise InputError(
            f"patches of {rows}×{columns} are too small for {shape.depth} poolings",
            f"at most {most}: lower --depth, or --division",
        )


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    kind : {'conv', 'pool', 'dropout', 'up', 'join', 'dense'}
        ``conv`` is a 3×3 convolution, batch normalisation and ReLU. ``up`` is a 2×2 transposed convolution of
        stride 2. ``join`` appends the output of the encoder at this level. ``dense`` acts at every pixel.
    level : int
        Number of poolings before it.
    inputs, channels : int
        Number of channels before and after it.
    """

    kind: str
    level: int
    inputs: int
    channels: int

    @property
    def parameters(self) -> int:
        """Number of weights, including those of batch normalisation that are not trained."""
        if self.kind == "conv":
            return 9 * self.inputs * self.channels + 4 * self.channels
        if self.kind in ("up", "dense"):
            return (4 if self.kind == "up" else 1) * self.inputs * self.channels + self.channels
        return 0

    def flops(self, rows: int, columns: int) -> int:
        """Count floating-point operations of one forward pass; a multiplication and an addition are two.

        Only convolutions and dense layers count: the rest is memory traffic. A training step costs about three
        times as much.
        """
        pixels = (rows >> self.level) * (columns >> self.level)
        per_pixel = {"conv": 9, "dense": 1, "up": 1}.get(self.kind, 0)
        return 2 * per_pixel * self.inputs * self.channels * pixels


def layers_of(shape: Shape) -> list[Layer]:
    """List a network's layers from its input to its logits."""
    layers: list[Layer] = []
    channels = 1

    def add(kind: str, level: int, out: int) -> None:
        nonlocal channels
        layers.append(Layer(kind, level, channels, out))
        channels = out

    def block(level: int) -> None:
        for _ in range(2):
            add("conv", level, shape.width << level)

    for level in range(shape.depth):
        block(level)
        add("pool", level + 1, channels)
    block(shape.depth)
    add("dropout", shape.depth, channels)
    for level in reversed(range(shape.depth)):
        add("up", level, shape.width << level)
        add("join", level, channels + (shape.width << level))
        block(level)
    for out in (*(DENSE if shape.dense else ()), 3):
        add("dense", 0, out)
    return layers


def flops(shape: Shape, rows: int, columns: int) -> int:
    """Count the operations of one forward pass. The pixels that fill up the sides count too."""
    rows, columns = padded(shape, rows, columns)
    return sum(layer.flops(rows, columns) for layer in layers_of(shape))


def padded(shape: Shape, rows: int, columns: int) -> tuple[int, int]:
    """Round sides up to what the poolings can halve.

    >>> padded(Shape(2, 16, False), 17, 22)
    (20, 24)
    """
    stride = 1 << shape.depth
    return rows + -rows % stride, columns + -columns % stride


def build(shape: Shape, dropout: float, seed: int) -> Any:
    """Build the network. `seed` draws its weights.

    Returns
    -------
    keras.Model
        (batch, rows, columns, 1) float32 → (batch, rows, columns, 3) logits; rows and columns multiples of
        ``2**depth``.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((None, None, 1))
    plan = layers_of(shape)
    encoded: list[Any] = []
    for number, layer in enumerate(plan):
        if layer.kind == "conv":
            x = layers.Conv2D(layer.channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
            # The running statistics adapt within about twenty steps: a small set has few steps.
            x = layers.ReLU()(batch_normalization()(momentum=0.9)(x))
        elif layer.kind == "pool":
            encoded.append(x)
            x = layers.MaxPooling2D()(x)
        elif layer.kind == "dropout":
            x = layers.Dropout(dropout, seed=seed)(x)
        elif layer.kind == "up":
            x = layers.Conv2DTranspose(layer.channels, 2, strides=2, kernel_initializer="he_normal")(x)
        elif layer.kind == "join":
            x = layers.Concatenate()([encoded.pop(), x])
        elif number == len(plan) - 1:
            x = layers.Dense(layer.channels, name="logits")(x)
        else:
            x = layers.Dense(layer.channels, activation="relu", kernel_initializer="he_normal")(x)
    return keras.Model(inputs, x)
