"""A network and an image of any size → class probabilities, from the whole image or from overlapping tiles."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Larger images are predicted in tiles by default: as a whole they would need several GiB.
WHOLE_PX = 4_000_000
TILE_PX = 1024


def receptive_field_px(depth: int) -> int:
    """Bound how far an input pixel can act: with this overlap the tiles give what the whole image gives.

    A 3×3 convolution at level *l* reaches 2^l pixels, and there are two on the way down and two on the way up.
    Pooling shifts by less than 2^depth.

    >>> [receptive_field_px(depth) for depth in (0, 2, 4)]
    [7, 28, 112]
    """
    return 7 << depth


def predict_views(network: Any, depth: int, image: NDArray[np.float32], tile_px: int = 0) -> NDArray[np.float32]:
    """Predict the eight views of an image: each quarter turn, as it is and mirrored. Return their mean.

    A nucleus has no upright position, so the views differ by the network's errors, of which the mean keeps fewer.
    It takes eight times as long. Parameters and result are those of `predict_probabilities`.
    """
    total = np.zeros((*image.shape, 3), np.float32)
    for turns in range(4):
        for mirrored in (False, True):
            view = np.rot90(image, turns)
            view = np.ascontiguousarray(view[:, ::-1] if mirrored else view)
            predicted = predict_probabilities(network, depth, view, tile_px)
            total += np.rot90(predicted[:, ::-1] if mirrored else predicted, -turns)
    return np.divide(total, 8, dtype=np.float32)


def predict_probabilities(
    network: Any, depth: int, image: NDArray[np.float32], tile_px: int = 0
) -> NDArray[np.float32]:
    """Predict an image.

    Parameters
    ----------
    network : keras.Model
    depth : int
        Its number of poolings. Sides are filled up by mirroring to a multiple of ``2**depth``.
    image : ndarray of float32, shape (rows, columns)
        Normalised.
    tile_px : int
        Side of a tile without its overlap. 0 is the whole image up to 4 megapixels, and 1024 above.

    Returns
    -------
    ndarray of float32, shape (rows, columns, 3)
        Probabilities of background, nucleus, contour.
    """
    tile_px = tile_px or (TILE_PX if image.size > WHOLE_PX else max(image.shape))
    rows, columns = image.shape
    if tile_px >= max(rows, columns):
        return _predict_whole(network, depth, image)
    probabilities = np.empty((rows, columns, 3), np.float32)
    # Multiples of the stride, so that the pixels of a tile are pooled together as those of the whole image are.
    stride = 1 << depth
    step = -(-tile_px // stride) * stride
    overlap = receptive_field_px(depth)
    for y in range(0, rows, step):
        for x in range(0, columns, step):
            top, left = max(0, y - overlap), max(0, x - overlap)
            tile = _predict_whole(network, depth, image[top : y + step + overlap, left : x + step + overlap])
            inner = tile[y - top : y - top + step, x - left : x - left + step]
            probabilities[y : y + step, x : x + step] = inner
    return probabilities


def _predict_whole(network: Any, depth: int, image: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = image.shape
    stride = 1 << depth
    padded = np.pad(image, ((0, -rows % stride), (0, -columns % stride)), mode="symmetric")
    return np.asarray(_traced_forward(network)(padded[None, ..., None]))[0, :rows, :columns]


@lru_cache(maxsize=1)
def _traced_forward(network: Any) -> Any:
    """Trace the network once for all sizes. TensorFlow then fuses convolution, normalisation and ReLU."""
    import tensorflow as tf

    sizes = [tf.TensorSpec([None, None, None, 1], tf.float32)]

    @tf.function(autograph=False, input_signature=sizes)  # type: ignore[untyped-decorator]
    def forward(images: Any) -> Any:
        return tf.nn.softmax(network(images, training=False))

    return forward
