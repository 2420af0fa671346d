"""A trained network in one file, with all that is needed to use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainer.errors import InputError
from trainer.network import models
from trainer.scoring.instances import Decision
from trainer.training import checkpoint

VERSION = 1


@dataclass(frozen=True)
class About:
    """What is needed beside the weights.

    Attributes
    ----------
    version : int
        Of this format.
    model : str
        Its family's name.
    shape : Shape
    contour_px : int
    weights : tuple of float
        Class weights of the loss, in case the decision undoes them.
    decision : Decision
    normalisation : str
        What `data.normalised` does.
    versions : dict
        Of the packages that trained it.
    trained_on : str
        Fingerprint of the data.
    segMeasure : float
        On its validation images.
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
    segMeasure: float  # noqa: N815 - the measure's own name


NORMALISATION = "percentiles 1 and 99.8 to 0 and 1, square root"


def save(path: Path, network: Any, about: About) -> None:
    """Write the network whole or not at all; read it by `load`.

    Raises
    ------
    InputError
        It cannot be written.
    """
    arrays = {f"{number}": variable.numpy() for number, variable in enumerate(network.weights)}
    checkpoint.save_npz(path, TypeAdapter(About).dump_json(about).decode(), arrays)


def load(path: Path) -> tuple[Any, About]:
    """Read a network back.

    Returns
    -------
    keras.Model, About

    Raises
    ------
    InputError
        It is no model file, or one of another version.
    """
    about, weights = _read(path)
    network = models.build(about.shape, 0.0, 0)
    shapes = [tuple(variable.shape) for variable in network.weights]
    if shapes != [weights[str(number)].shape for number in range(len(weights))]:
        raise InputError(
            f"{str(path)!r} does not hold the weights of its network", "was it written by an older one?"
        )
    for number, variable in enumerate(network.weights):
        variable.assign(weights[str(number)])
    return network, about


def _read(path: Path) -> tuple[About, dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"there is no {str(path)!r}", "trainer train --save-model FILE writes one")
    read = checkpoint.load_npz(path)
    if read is None or "identity" in read[0]:
        raise InputError(f"{str(path)!r} is no model file", "trainer train --save-model FILE writes one")
    try:
        about = TypeAdapter(About).validate_python(read[0])
    except ValidationError as error:
        raise InputError(f"{str(path)!r} is no model file: {error.errors()[0]['msg']}") from None
    if about.normalisation != NORMALISATION:
        raise InputError(f"{str(path)!r} wants images normalised by {about.normalisation}", "this trainer cannot")
    if about.version != VERSION:
        raise InputError(f"{str(path)!r} is of version {about.version}, and this trainer reads {VERSION}")
    return about, read[1]
