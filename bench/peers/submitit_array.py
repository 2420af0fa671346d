"""A thousand trials by submitit's `map_array`: one array, a pickle and a log for each of its tasks.

python bench/peers/submitit_array.py TRIALS FOLDER    (bench/end_to_end.py calls it, by its own venv's python)
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import submitit


def trial(number):
    path = f"out/{number}.json"
    subprocess.run(["sh", "trial.sh", str(number), path], check=True)
    return path


def main():
    trials, folder = int(sys.argv[1]), sys.argv[2]
    os.chdir(folder)
    executor = submitit.SlurmExecutor(folder="log")
    executor.update_parameters(
        time=5, mem="100MB", cpus_per_task=1, ntasks_per_node=1, array_parallelism=trials, job_name="submitit"
    )
    jobs = executor.map_array(trial, range(1, trials + 1))
    done = sum(Path(job.result()).exists() for job in jobs)
    known_at = time.time()
    print(json.dumps({"done": done, "known_at": known_at}))


if __name__ == "__main__":
    main()
