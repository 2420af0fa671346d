"""A thousand trials by Parsl: a HighThroughputExecutor's workers held on Slurm, and no record of a trial.

python bench/peers/parsl_held.py TRIALS FOLDER    (bench/end_to_end.py calls it, by its own venv's python)
"""

import json
import os
import sys
import time
from pathlib import Path

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import SlurmProvider

JOBS, CPUS_EACH = 4, 4


@parsl.bash_app
def trial(number, path):
    return f"sh trial.sh {number} {path}"


def main():
    trials, folder, scripts = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.executable).parent
    os.chdir(folder)
    os.environ["PATH"] = f"{scripts}:{os.environ['PATH']}"
    provider = SlurmProvider(
        partition="batch", exclusive=False, nodes_per_block=1, init_blocks=JOBS, max_blocks=JOBS,
        cores_per_node=CPUS_EACH, mem_per_node=2, walltime="00:10:00", cmd_timeout=60,
        worker_init=f"cd {folder}; export PATH={scripts}:$PATH",
    )  # fmt: skip
    executor = HighThroughputExecutor(
        label="held", address="127.0.0.1", max_workers_per_node=CPUS_EACH, provider=provider
    )
    with parsl.load(Config(executors=[executor], strategy="none")):
        calls = [trial(number, str(folder / "out" / f"{number}.json")) for number in range(1, trials + 1)]
        done = sum(call.result() == 0 for call in calls)
        known_at = time.time()
    print(json.dumps({"done": done, "known_at": known_at}))


if __name__ == "__main__":
    main()
