"""grid.yaml → trials that a plan has not numbered yet (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.errors import GridError, nearest
from sweep.grid import schema, source
from sweep.grid.expand import MAX_TRIALS, expand, make_trials, trial_id
from sweep.grid.expressions import UsedVariables
from sweep.grid.schema import Grid
from sweep.grid.source import Source

__all__ = ["MAX_TRIALS", "Grid", "Source", "UsedVariables", "expand", "make_trials", "read", "trial_id"]


def read(text: str, name: str, overrides: Sequence[str] = ()) -> tuple[Grid, Source]:
    """Read grid.yaml.

    Parameters
    ----------
    text : str
        The file's content.
    name : str
        Its name, for errors.
    overrides : sequence of str
        ``parameter=value``, ``parameter=[a, b]``, or ``key.of.the.grid=value``.

    Returns
    -------
    Grid, Source
        The checked grid, and the document with the positions of its values.

    Raises
    ------
    GridError
        What is wrong, where it is, and what to do.
    """
    document = source.parse(text, name)
    for key in [key for key in document.data if key.startswith("x-")]:  # a place for anchors, of no meaning itself
        del document.data[key]
    for override in overrides:
        _override(document.data, override)
    return schema.check(document), document


def _override(data: dict[str, Any], override: str) -> None:
    """Set one value in `data`: a parameter's by its name, any other by its dotted path."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise GridError(f"--set {override!r} is not name=value", "for instance --set learning_rate=0.01")
    value = source.value(text)
    if _override_parameter(data, key, value):
        return
    *parents, last = key.split(".")
    fields: Mapping[str, Any] = schema.Grid.model_fields
    if (parents or [last])[0] not in fields:
        names = [*_mapping(data, "parameters"), *(name for group in _groups(data) for name in group), *fields]
        raise GridError(f"--set names {key!r}, which is neither a parameter nor a key", nearest(key, names))
    for parent in parents:
        section = data.get(parent)
        if section is None:  # not there, or null: as if it were empty
            section = data[parent] = {}
        if not isinstance(section, dict):
            raise GridError(f"--set {override!r}: {parent!r} has no keys", "see docs/grid.md for the form")
        data = section
    data[last] = value


def _override_parameter(data: dict[str, Any], key: str, value: Any) -> bool:
    """Give a parameter other values; False if there is no such parameter. A zipped one leaves its group."""
    axis = value if isinstance(value, list | dict) else [value]
    parameters = _mapping(data, "parameters")
    if key in parameters:
        parameters[key] = axis
        return True
    for group in _groups(data):
        if key in group:
            del group[key]
            data["zip"] = [group for group in data["zip"] if group]
            data["parameters"] = {**parameters, key: axis}
            return True
    return False


def _mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    section = data.get(key)
    return section if isinstance(section, dict) else {}


def _groups(data: dict[str, Any]) -> list[dict[str, Any]]:
    groups = data.get("zip")
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
