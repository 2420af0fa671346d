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
    """Load a sweep for a notebook: frames of pandas, and the page's figures as plotly's objects.

    Parameters
    ----------
    path : str or Path
        The sweep's folder, ``results/small-unet``, or its name.

    Returns
    -------
    Loaded
        ``trials``, ``results``, ``histories``, ``leaderboard``, ``figure(name)``; see docs/leaderboard.md. As the
        last value of a cell it shows the winner and the top of the leaderboard.

    Raises
    ------
    sweep.errors.NoSuch
        There is no sweep.
    """
    from sweep.report.notebook import first_screen, plotly_figures
    from sweep.verbs.load import Drawing
    from sweep.verbs.load import load as verb

    return verb(Path(path), Drawing(first_screen, plotly_figures))
