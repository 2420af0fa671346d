"""Which of the user's variables a scheduler's commands get, and with them the jobs (pure).

A site's profile, a colleague's hint or the job that a command runs in may set variables that change what a
scheduler is asked, or what a job gets. ``docs/schedulers.md`` has the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: They name the cluster and the way to it. Without them, no command finds the user's scheduler.
NAME_THE_CLUSTER = frozenset(
    {
        "SLURM_CONF",
        "SLURM_CONF_SERVER",
        "SLURM_JWT",
        "SLURM_SACK_KEY",
        "SLURM_SACK_JWKS",
        "PBS_CONF_FILE",
        "PBS_DEFAULT",
        "PBS_SERVER",
        "PBS_SERVER_HOST_NAME",
        "PBS_PRIMARY",
        "PBS_SECONDARY",
        "PBS_EXEC",
        "PBS_HOME",
        "PBS_LEAF_NAME",
        "PBS_LEAF_ROUTERS",
        "PBS_PUBLIC_HOST_NAME",
        "PBS_BATCH_SERVICE_PORT",
        "PBS_BATCH_SERVICE_PORT_DIS",
        "PBS_MANAGER_SERVICE_PORT",
        "PBS_AUTH_METHOD",
        "PBS_ENCRYPT_METHOD",
        "PBS_SUPPORTED_AUTH_METHODS",
    }
)

#: How srun starts MPI programs is the site's own setting; Slurm does not set it in a job.
_OF_THE_SITE = frozenset({"SLURM_MPI_TYPE"})

#: The variables of Slurm and PBS: those that a job has, and those that stand for options of the submit command.
_OF_SCHEDULERS = re.compile(r"(SLURM|SLURMD|SBATCH|SALLOC|PBS)_.*|QSTATRCHOME")

#: Those that filter, sort or format what the other commands print, or make them wait for an answer.
_OF_QUESTIONS = re.compile(r"(SQUEUE|SACCT|SINFO|SSTAT|SCANCEL|SCONTROL|SACCTMGR|SPRIO|SREPORT|SDIAG)_.*|PBSDEBUG")

#: What tells a trial, a worker or a job of the local scheduler which one it is.
_OF_A_TRIAL = re.compile(
    r"SWEEP_(TRIAL|NUMBER|ATTEMPT|FOLDER|RESULT|SEED|REPLICATE|CPUS|PARAMS|PARAMS_FILE"
    r"|TASK|WORKER|DRIVER|ELAPSED_S|LOCAL_(TASK_ID|JOB_ID|JOB_NAME))"
)

#: Any of these is set in a job, and nowhere else.
_IN_A_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "SWEEP_LOCAL_JOB_ID")

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
    in_a_job = any(name in environment for name in _IN_A_JOB)
    return {
        name: value
        for name, value in environment.items()
        if name in NAME_THE_CLUSTER
        or name in _OF_THE_SITE
        or not (
            _OF_SCHEDULERS.fullmatch(name)
            or _OF_A_TRIAL.fullmatch(name)
            or (in_a_job and _OF_A_JOB.fullmatch(name))
        )
    }


def of_question(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every other command gets: nothing that changes what is asked, and messages in English.

    Parameters
    ----------
    environment : mapping of str to str
        The variables of this process.
    """
    own = of_submission(environment)
    return {name: value for name, value in own.items() if not _OF_QUESTIONS.fullmatch(name)} | {"LC_ALL": "C"}


def of_submit_options(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that stand for options of the submit command, and are not empty."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if value.strip() and (name.startswith("SBATCH_") or name in ("SLURM_CLUSTERS", "PBS_DPREFIX"))
    }
