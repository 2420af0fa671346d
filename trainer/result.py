"""The result: one JSON, written by rename."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from trainer.errors import InputError, TrainerError


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write the result whole or not at all.

    Raises
    ------
    TrainerError
        A number in it is not finite: NaN is a failure, never a score.
    InputError
        It cannot be written.
    """
    try:
        text = json.dumps(result, indent=1, allow_nan=False)
    except ValueError:
        raise TrainerError("the result holds a number that is not finite", "the training diverged") from None
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {str(path)!r}: {error.strerror}", "choose another --out") from None
