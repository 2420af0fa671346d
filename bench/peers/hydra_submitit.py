"""A thousand trials by Hydra's multirun and its submitit launcher.

python bench/peers/hydra_submitit.py TRIALS FOLDER    (bench/end_to_end.py calls it, by its own venv's python)

Called so, it writes the app and calls it as a user does; the app is what Hydra imports again in each task.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

APP = """\
import subprocess
from pathlib import Path

import hydra


@hydra.main(version_base=None, config_path=None, config_name="config")
def app(config):
    here = Path(hydra.utils.get_original_cwd())
    path = here / "out" / f"{config.x}.json"
    subprocess.run(["sh", str(here / "trial.sh"), str(config.x), str(path)], check=True)
    return config.x


from hydra.core.config_store import ConfigStore

ConfigStore.instance().store(name="config", node={"x": 0})
if __name__ == "__main__":
    app()
"""


def main():
    trials, folder = int(sys.argv[1]), Path(sys.argv[2])
    (folder / "app.py").write_text(APP)
    launcher = {"timeout_min": 5, "mem_gb": 1, "cpus_per_task": 1, "array_parallelism": trials}
    subprocess.run(
        [
            sys.executable, "app.py", "--multirun", "hydra/launcher=submitit_slurm", f"x=range(1,{trials + 1})",
            *(f"hydra.launcher.{key}={value}" for key, value in launcher.items()),
        ],
        cwd=folder, check=True, stdout=sys.stderr,
    )  # fmt: skip
    done = len(list((folder / "out").glob("*.json")))
    known_at = time.time()
    print(json.dumps({"done": done, "known_at": known_at}))


if __name__ == "__main__":
    main()
