"""A thousand trials by dask-jobqueue: workers held on Slurm, and no record of a trial.

python bench/peers/dask_jobqueue_held.py TRIALS FOLDER    (bench/end_to_end.py calls it, by its own venv's python)
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

JOBS, CPUS_EACH = 4, 4


def trial(number):
    path = f"out/{number}.json"
    subprocess.run(["sh", "trial.sh", str(number), path], check=True)
    return path


def main():
    from dask.distributed import Client
    from dask_jobqueue import SLURMCluster

    trials, folder = int(sys.argv[1]), sys.argv[2]
    os.chdir(folder)
    with (
        SLURMCluster(
            cores=CPUS_EACH, processes=1, memory="1GB", walltime="00:10:00", interface="lo", local_directory=folder
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=JOBS)
        done = sum(Path(path).exists() for path in client.gather(client.map(trial, range(1, trials + 1))))
        known_at = time.time()
    print(json.dumps({"done": done, "known_at": known_at}))


if __name__ == "__main__":
    main()
