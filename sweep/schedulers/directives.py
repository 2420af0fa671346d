"""What is asked of a scheduler beside the grid's own keys: by directives, the site's units, and variables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Speaker(NamedTuple):
    """What may give a key of the grid's `scheduler` where the grid is silent about it.

    Attributes
    ----------
    variables : tuple of str
        The person's environment variables. The first that is set counts.
    options : tuple of str
        The submit command's options. One of them among the grid's directives says it already.
    """

    variables: tuple[str, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Requests:
    """What a grid's jobs ask for, beside CPUs, GPUs and walltime.

    Attributes
    ----------
    directives : sequence of str
        The grid's ``scheduler: {extra: …}``, line by line.
    units : mapping of str to set of str
        The site's own units, ``resources: {extra: …}``: name → all values that jobs have.
    memory : str
        The memory as the grid has it. Empty: no job asks for any.
    """

    directives: Sequence[str] = ()
    units: Mapping[str, frozenset[str]] = field(default_factory=dict)
    memory: str = ""


class Objection(NamedTuple):
    """Why a scheduler would not heed a request, or would refuse it.

    Attributes
    ----------
    path : tuple of str
        The key of the grid that it is about.
    problem, hint : str
        What is wrong, and what to do about it.
    """

    path: tuple[str, ...]
    problem: str
    hint: str


def option(directives: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the value of an option among directives. None: it is not there.

    >>> option(["--clusters=two -n 1"], ("--clusters", "-M")), option(["-Mtwo"], ("--clusters", "-M"))
    ('two', 'two')
    >>> option(["--mem=1G"], ("--clusters", "-M"))
    """
    for name in names:
        separator = r"(?:=|\s+)" if name.startswith("--") else r"\s*"
        for line in directives:
            match = re.search(rf"(?:^|\s){name}{separator}(\S+)", line)
            if match:
                return match[1]
    return None
