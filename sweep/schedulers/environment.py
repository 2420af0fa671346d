"""Which of the user's variables a scheduler's commands get, and with them the jobs (pure).

A site's profile, a colleague's hint or the job that a command runs in may set variables that change what a
scheduler is asked, or what a job gets. Each scheduler names its own (`Variables`). Those of all count, since a job
of one may submit to another. ``docs/schedulers.md`` has the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from sweep.schedulers import SCHEDULERS
from sweep.schedulers.base import Variables

#: What tells a trial or a worker which one it is, or where it runs.
_OF_A_TRIAL = re.compile(
    r"SWEEP_(TRIAL|NUMBER|ATTEMPT|FOLDER|RESULT|SEED|REPLICATE|CPUS|PARAMS|PARAMS_FILE|TASK|NODE|WORKER|DRIVER|ELAPSED_S)"
)

#: What schedulers and launchers set beside their own variables, for the one job. TMPDIR is gone when it ends.
_OF_A_JOB = re.compile(
    r"CUDA_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|HIP_VISIBLE_DEVICES|ZE_AFFINITY_MASK|GPU_DEVICE_ORDINAL|NCPUS|TMPDIR"
    r"|(PMI|PMI2|PMIX|HYDRA|HYDI|PALS|OMPI_COMM_WORLD|MPI_LOCALRANKID)_?.*"
)


def of_submission(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a submit command gets, and through it the job: the user's own, nothing of a job or a trial.

    Parameters
    ----------
    environment : mapping of str to str
        The variables of this process, which may itself run in a job, in a step or in a trial.
    """
    known = _known()
    own = _any_of(tuple(variables.own for variables in known))
    in_a_job = any(variables.job in environment for variables in known)
    passed_on = frozenset[str]().union(*(variables.cluster for variables in known))
    return {
        name: value
        for name, value in environment.items()
        if name in passed_on
        or not (own.fullmatch(name) or _OF_A_TRIAL.fullmatch(name) or (in_a_job and _OF_A_JOB.fullmatch(name)))
    }


def of_question(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every other command gets: nothing that changes what is asked, and messages in English.

    Parameters
    ----------
    environment : mapping of str to str
        The variables of this process.
    """
    questions = _any_of(tuple(variables.questions for variables in _known()))
    own = of_submission(environment)
    return {name: value for name, value in own.items() if not questions.fullmatch(name)} | {"LC_ALL": "C"}


def of_submit_options(variables: Variables, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that stand for options of a scheduler's submit command, and are not empty."""
    options = _any_of((variables.options,))
    return {
        name: value for name, value in sorted(environment.items()) if value.strip() and options.fullmatch(name)
    }


def _known() -> list[Variables]:
    return [scheduler.variables for scheduler in SCHEDULERS.values()]


@lru_cache(maxsize=16)
def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Make a pattern of several, of which some are empty. Of none at all, one that fits nothing."""
    return re.compile("|".join(filter(None, patterns)) or r"(?!)")
