"""The environment of a training: CPUs, memory, versions, and the commit of the code."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import subprocess
import sys
from pathlib import Path


def usable_cpus() -> int:
    """Count the CPUs that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # only Linux has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def start_tensorflow(threads: int) -> int:
    """Import TensorFlow and set its threads.

    Parameters
    ----------
    threads : int
        0: ``SWEEP_CPUS``, else the count of the scheduler, else all CPUs that this process may use.

    Returns
    -------
    int
        Number of threads.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _choose_keras()
    names = ("SWEEP_CPUS", "SLURM_CPUS_PER_TASK", "NCPUS", "PBS_NUM_PPN")
    texts = (os.environ.get(name, "") for name in names)
    allotted = next((int(text) for text in texts if text.isdigit() and int(text)), usable_cpus())
    threads = threads or allotted
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()  # without it the gradients of convolutions vary
    return threads


#: Variables that can change how TensorFlow rounds, and their values that do not (tried: docs/trainer.md).
_ROUNDING = {"TF_ENABLE_ONEDNN_OPTS": ("1", "true"), "ONEDNN_MAX_CPU_ISA": ("ALL", "DEFAULT"), "TF_XLA_FLAGS": ()}


def rounding_variables() -> list[str]:
    """Return the variables that are set here and can change how TensorFlow rounds, as ``NAME=value``."""
    values = {name: os.environ.get(name, "") for name in _ROUNDING}
    return [f"{name}={value}" for name, value in values.items() if value and value not in _ROUNDING[name]]


def _choose_keras() -> None:
    """Choose what this trainer needs of Keras, whatever a person has chosen for other programs.

    Keras reads KERAS_BACKEND and KERAS_HOME/keras.json as it is imported: another backend, half precision or
    channels first. Below a file that is no folder there is no keras.json, and none can be made.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.path.join(os.devnull, "keras")  # noqa: PTH118


def peak_memory_bytes() -> int:
    """Peak resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers."""
    by_name = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in ("sweep", "tensorflow", "tensorflow-cpu", "keras", "numpy", "scipy", "scikit-image"):
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return by_name


def git_commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout that this code runs from, and whether files were changed; None without a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(root: Path, *argv: str) -> str:
    completed = subprocess.run(
        ["git", "-C", str(root), *argv],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return completed.stdout.strip()
