"""A trained network in one file, with everything that is needed to use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainer.errors import InputError
from trainer.files.npz import load_npz, save_npz
from trainer.network import models
from trainer.scoring.instances import Decision

#: The version of the format.
VERSION = 1


@dataclass(frozen=True)
class ModelInfo:
    """What is needed beside the weights.

    Attributes
    ----------
    version : int
        Of the format.
    model : str
        One of `models.MODELS`.
    shape : Shape
    contour_px : int
    weights : tuple of float
        Class weights of the loss, for a decision that undoes them.
    decision : Decision
    normalisation : str
        What `samples.normalise` does.
    versions : dict
        Of the packages that it was trained with.
    trained_on : str
        Fingerprint of the data.
    segMeasure : float
        On the validation images.
    tta : bool
        The thresholds were chosen on the mean of eight views, see `predict.predict_views`.
    """

    version: int
    model: str
    shape: models.Shape
    contour_px: int
    weights: tuple[float, float, float]
    decision: Decision
    normalisation: str
    versions: dict[str, str]
    trained_on: str
    segMeasure: float  # noqa: N815 - the name of the measure
    tta: bool = False


NORMALISATION = "percentiles 1 and 99.8 to 0 and 1, square root"


def save(path: Path, network: Any, info: ModelInfo) -> None:
    """Write a network, whole or not at all. `load` reads it.

    Raises
    ------
    InputError
        It cannot be written.
    """
    arrays = {f"{number}": variable.numpy() for number, variable in enumerate(network.weights)}
    save_npz(path, TypeAdapter(ModelInfo).dump_json(info).decode(), arrays)


def load(path: Path) -> tuple[Any, ModelInfo]:
    """Read a network back.

    Returns
    -------
    keras.Model, ModelInfo

    Raises
    ------
    InputError
        The file is no model file, or of another version.
    """
    info, weights = _read(path)
    network = models.build(info.shape, 0.0, 0)
    shapes = [tuple(variable.shape) for variable in network.weights]
    if shapes != [weights[str(number)].shape for number in range(len(weights))]:
        raise InputError(f"{str(path)!r} does not hold the weights of its network", "train it again")
    for number, variable in enumerate(network.weights):
        variable.assign(weights[str(number)])
    return network, info


def _read(path: Path) -> tuple[ModelInfo, dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"there is no {str(path)!r}", "trainer train --save-model FILE writes one")
    loaded = load_npz(path)
    if loaded is None or "identity" in loaded[0]:  # a checkpoint has one
        raise InputError(f"{str(path)!r} is no model file", "trainer train --save-model FILE writes one")
    try:
        info = TypeAdapter(ModelInfo).validate_python(loaded[0])
    except ValidationError as error:
        raise InputError(f"{str(path)!r} is no model file: {error.errors()[0]['msg']}") from None
    if info.normalisation != NORMALISATION:
        raise InputError(
            f"{str(path)!r} needs images normalised by {info.normalisation}",
            f"this trainer normalises by {NORMALISATION}",
        )
    if info.version != VERSION:
        raise InputError(f"{str(path)!r} is of version {info.version}, and this trainer reads {VERSION}")
    return info, loaded[1]
