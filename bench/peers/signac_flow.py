"""A thousand trials by signac-flow: a workspace folder a trial, bundles of operations on Slurm.

python bench/peers/signac_flow.py TRIALS FOLDER    (bench/end_to_end.py calls it, by its own venv's python)

A shell operation, as its documentation has for programs; as many bundles as there are CPUs, each of which runs its
operations one after another, as ``submit --bundle`` makes them: by a Python of its own for each, which looks
whether it is still to be done.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

CPUS = 16

PROJECT = """\
from flow import FlowProject


class Project(FlowProject):
    pass


@Project.post.isfile("result.json")
@Project.operation(cmd=True, directives={"walltime": 0.1})
def trial(job):
    return f"sh trial.sh {job.sp.x} {job.fn('result.json')}"


if __name__ == "__main__":
    Project().main()
"""


def main():
    import signac

    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    (folder / "project.py").write_text(PROJECT)
    project = signac.init_project(path=str(folder))
    for number in range(1, trials + 1):
        project.open_job({"x": number}).init()
    bundle = -(-trials // CPUS)
    submit = [sys.executable, "project.py", "submit", "--bundle", str(bundle)]
    subprocess.run(submit, cwd=folder, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL)
    while subprocess.run(["squeue", "-h"], check=True, capture_output=True).stdout:
        time.sleep(0.2)
    done = sum(job.isfile("result.json") for job in project)
    known_at = time.time()
    print(json.dumps({"done": done, "known_at": known_at}))


if __name__ == "__main__":
    main()
