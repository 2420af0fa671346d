"""A training in a fork of a process that has imported everything. A warm worker starts trials so."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Sandbox
from tests.trainer.conftest import Trainer

IMPORTS = """
import os, sys
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras, tensorflow as tf
import trainer.cli, trainer.training.train
from tensorflow.python.eager import context

def forked(work):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = work() or 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0

assert context._context is None, "the import has started TensorFlow"
"""

TRAIN = """
for number in range(2):
    sys.argv = ["trainer", *WORDS, "--out", f"{number}.json", "--save-model", f"{number}.npz"]
    forked(trainer.cli.main)
"""

MEMORY = """
from trainer.training import environment

def own_kib():
    return sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private"))

def started():
    assert environment.start_tensorflow(1) == 1
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert float(tf.reduce_sum(tf.ones([64, 64]) @ tf.ones([64, 64]))) == 64**3

forked(started)
before = own_kib()
for _ in range(50):
    forked(started)
assert context._context is None
print(own_kib() - before)
"""


@pytest.fixture(autouse=True)
def tf() -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is the extra [trainer]")


def test_a_forked_training_is_a_fresh_ones_bit_for_bit(
    sandbox: Sandbox, trainer: Trainer, own_cache: Path
) -> None:
    trainer("data", "synth", "set", "--count", 8, "--rows", 128, "--columns", 128)
    options = ["train", "--data", "set", "--epochs", "2", "--batch-size", "8", "--width", "8", "--threads", "1"]
    trainer(*options, "--out", "fresh.json", "--save-model", "fresh.npz")
    code = f"WORDS = {options!r}\n{IMPORTS}{TRAIN}"
    ran = sandbox.run(sys.executable, "-c", code, timeout_s=290, env={"TRAINER_CACHE": str(own_cache)})
    assert ran.code == 0, ran.err
    with np.load(sandbox.path / "fresh.npz") as fresh:
        for number in range(2):
            with np.load(sandbox.path / f"{number}.npz") as forked:
                assert all(np.array_equal(forked[name], fresh[name]) for name in fresh.files if name != "about")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="what is a process's own, Linux tells")
def test_fifty_forks_leave_the_parent_as_large_as_it_was(sandbox: Sandbox) -> None:
    ran = sandbox.run(sys.executable, "-c", IMPORTS + MEMORY, timeout_s=290)
    assert ran.code == 0, ran.err
    assert int(ran.out.splitlines()[-1]) < 4096, "KiB"
