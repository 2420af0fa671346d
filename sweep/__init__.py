"""sweep: an HPC batch sweep orchestrator.

A sweep is a folder. Every command reads the folder, does one step, and can be repeated.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.verbs.load import Loaded

__version__ = "0.1.0"


def load(path: str | Path) -> Loaded:
    """Load a sweep for a notebook: its trials, their results and the leaderboard as pandas frames.

    Parameters
    ----------
    path : str or Path
        The sweep's folder, ``results/small-unet``, or its name.

    Returns
    -------
    Loaded
        ``trials``, ``results``, ``leaderboard``; see docs/leaderboard.md for their columns.

    Raises
    ------
    sweep.errors.NoSuch
        There is no sweep.
    """
    from sweep.verbs.load import load as verb

    return verb(Path(path))
