"""init: write a commented grid to start from, for the scheduler that answers here."""

from __future__ import annotations

from pathlib import Path

from sweep.errors import UsageError
from sweep.jobs.render import template_environment
from sweep.schedulers import SCHEDULERS
from sweep.shell import Shell
from sweep.verbs.doctor import detect


def init(path: Path, shell: Shell, kind: str | None = None) -> str:
    """Write the grid; which scheduler it is for.

    Raises
    ------
    UsageError
        The file is there already, or cannot be written.
    """
    kind = kind or detect(shell)
    text = template_environment().get_template("grid.yaml.j2").render(scheduler=SCHEDULERS[kind])
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{str(path)!r} is there already", "name another file, or remove it first") from None
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}", "name another file") from None
    return kind
