"""A network and an image of any size → class probabilities; whole, or in overlapping tiles."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Larger images are tiled unless told otherwise: as a whole they would need several GiB.
WHOLE_PX = 4_000_000
TILE_PX = 1024


def reach_px(depth: int) -> int:
    """Bound how far an input pixel reaches: tiles that overlap so much are predicted as the whole image is.

    A 3×3 convolution at level *l* reaches 2^l pixels, and there are two on the way down and two on the way up;
    pooling shifts by less than 2^depth.

    >>> [reach_px(depth) for depth in (0, 2, 4)]
    [7, 28, 112]
    """
    return 7 << depth


def probabilities(network: Any, depth: int, image: NDArray[np.float32], tile_px: int = 0) -> NDArray[np.float32]:
    """Predict an image.

    Parameters
    ----------
    network : keras.Model
    depth : int
        Its poolings: sides are filled up by mirroring to a multiple of ``2**depth``.
    image : ndarray of float32, shape (rows, columns)
        Normalised.
    tile_px : int
        Side of a tile's own part; 0 is the whole image up to 4 megapixels, and 1024 above.

    Returns
    -------
    ndarray of float32, shape (rows, columns, 3)
        Probabilities of background, nucleus, contour.
    """
    tile_px = tile_px or (TILE_PX if image.size > WHOLE_PX else max(image.shape))
    rows, columns = image.shape
    if tile_px >= max(rows, columns):
        return _whole(network, depth, image)
    made = np.empty((rows, columns, 3), np.float32)
    # Multiples of the poolings' stride, so that a tile's pixels are pooled together as the whole image's are.
    stride = 1 << depth
    step = -(-tile_px // stride) * stride
    overlap = reach_px(depth)
    for y in range(0, rows, step):
        for x in range(0, columns, step):
            top, left = max(0, y - overlap), max(0, x - overlap)
            part = image[top : y + step + overlap, left : x + step + overlap]
            inner = _whole(network, depth, part)[y - top : y - top + step, x - left : x - left + step]
            made[y : y + step, x : x + step] = inner
    return made


def _whole(network: Any, depth: int, image: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = image.shape
    stride = 1 << depth
    padded = np.pad(image, ((0, -rows % stride), (0, -columns % stride)), mode="symmetric")
    return np.asarray(_traced(network)(padded[None, ..., None]))[0, :rows, :columns]


@lru_cache(maxsize=1)
def _traced(network: Any) -> Any:
    """Trace it once for all sizes: TensorFlow then joins convolution, normalisation and ReLU, a quarter faster."""
    import tensorflow as tf

    sizes = [tf.TensorSpec([None, None, None, 1], tf.float32)]

    @tf.function(autograph=False, input_signature=sizes)  # type: ignore[untyped-decorator]
    def forward(images: Any) -> Any:
        return tf.nn.softmax(network(images, training=False))

    return forward
