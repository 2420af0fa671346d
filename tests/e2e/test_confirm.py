"""confirm: further runs of the best configurations with fresh seeds decide, and a later plan keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import sweep
from sweep.store import Store
from tests.conftest import Sandbox
from tests.e2e.conftest import Cluster

Toy = Callable[..., Path]

#: Scores x. In the first replicate, x = 2 scores higher by chance.
NOISY = """\
import json, os, sys
x, replicate = float(sys.argv[1]), int(os.environ["SWEEP_REPLICATE"])
def note(word):
    line = " ".join([word, os.environ["SWEEP_TRIAL"], os.environ["SWEEP_ATTEMPT"]]) + "\\n"
    runs = os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(runs, line.encode())
    os.close(runs)
note("begin")
luck = 1.5 if (x, replicate) == (2, 0) else (int(os.environ["SWEEP_SEED"]) % 100) / 1000
json.dump({"segMeasure": x + luck, "test": {"segMeasure": x}}, open(os.environ["SWEEP_RESULT"], "w"))
note("end")
"""


def noisy(sandbox: Sandbox, toy: Toy, **keys: str) -> None:
    sandbox.write("noisy.py", NOISY)
    toy(**({"command": "[python3, noisy.py, '{{ x }}']", "parameters": "{x: [1, 2, 3]}"} | keys))


def test_confirming_runs_decide(cluster: Cluster, toy: Toy) -> None:
    sandbox = cluster.sandbox
    noisy(sandbox, toy, scheduler=cluster.scheduler)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    first = sandbox.sweep("best", "--json").json
    assert first["parameters"] == {"x": 2}
    assert (first["confirmed"], first["expected"], first["interval"]) == (False, None, None)
    assert "one run each" in sandbox.sweep("report").out
    report = sandbox.sweep("confirm", "--top", "2", "--replicates", "3", "--json").json
    assert [configuration["parameters"]["x"] for configuration in report["configurations"]] == [2, 3]
    assert report["trials"] == [3, 4, 5, 6, 7, 8]
    assert report["submitted"]["trials_sent"] == 6
    sandbox.follow()
    second = sandbox.sweep("best", "--json").json
    assert second["parameters"] == {"x": 3}
    assert second["confirmed"] is True
    assert len(second["replicates"]) == 3
    assert second["interval"][0] < second["expected"] < second["interval"][1]
    rows = sandbox.sweep("report", "--json").json
    assert [row["x"] for row in rows] == [3, 2, 1]
    assert [row["scores"] for row in rows] == [3, 3, 1]
    assert rows[1]["like_first"] is False  # the same seeds: a difference of exactly 1 each time
    assert rows[2]["like_first"] is None
    again = sandbox.sweep("confirm", "--top", "2", "--replicates", "3", "--json").json
    assert again["trials"] == []  # safe to repeat
    assert sandbox.accounted_for()


def test_a_later_plan_keeps_confirming_trials_and_takes_the_new_command(sandbox: Sandbox, toy: Toy) -> None:
    noisy(sandbox, toy)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("confirm", "--top", "1", "--replicates", "2", "--plan-only")
    assert sandbox.states() == {"done": 3, "planned": 2}
    plan = sandbox.sweep("plan", "--json").json
    assert (plan["new"], plan["kept"], plan["retired"]) == (0, 5, 0)
    noisy(sandbox, toy, command="[python3, noisy.py, '{{ x }}', again]", parameters="{x: [2, 3, 4]}")
    plan = sandbox.sweep("plan", "--json").json
    assert (plan["new"], plan["kept"], plan["retired"]) == (1, 4, 1)
    store = Store(sandbox.path / "results/toy")
    assert store.trials().trials[3].argv[-1] == "again"
    noisy(sandbox, toy, parameters="{x: [3, 4]}")  # the grid no longer has the confirmed configuration
    assert sandbox.sweep("plan", "--json").json["retired"] == 3
    noisy(sandbox, toy)
    assert sandbox.sweep("plan", "--json").json["kept"] == 5
    sandbox.sweep("submit")
    sandbox.follow()
    assert sandbox.states() == {"done": 5}


def test_confirming_trials_fail_like_others_and_are_tried_again(sandbox: Sandbox, toy: Toy) -> None:
    code = "import os, sys; sys.exit(3 if os.environ['SWEEP_REPLICATE'] == '1' and os.environ['SWEEP_ATTEMPT'] == '1' else 0)"
    noisy(
        sandbox,
        toy,
        command=json.dumps(["bash", "-c", f'python3 -c "{code}" && python3 noisy.py "$0"', "{{ x }}"]),
    )
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.sweep("confirm", "--top", "2", "--replicates", "2")
    sandbox.follow()
    assert sandbox.states() == {"done": 5, "failed": 2}
    assert sandbox.sweep("confirm", "--top", "2", "--replicates", "2", "--json").json["trials"] == []
    best = sandbox.sweep("best", "--json").json
    assert (best["parameters"], len(best["replicates"])) == ({"x": 3}, 1)
    sandbox.sweep("retry", "--errors")
    sandbox.follow()
    assert len(sandbox.sweep("best", "--json").json["replicates"]) == 2


def test_the_report_says_that_confirming_trials_have_not_ended(sandbox: Sandbox, toy: Toy) -> None:
    noisy(sandbox, toy)
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    output = sandbox.sweep("confirm", "--top", "1", "--replicates", "2", "--dry-run").out
    assert "2 trials would be planned" in output
    assert sandbox.states() == {"done": 3}
    sandbox.sweep("confirm", "--top", "1", "--replicates", "2", "--plan-only")
    assert "2 of 2 confirming trials have not ended yet" in sandbox.sweep("report").out
    assert sandbox.sweep("best", "--json").json["confirmed"] is False


def test_nothing_to_confirm(sandbox: Sandbox, toy: Toy) -> None:
    toy()
    sandbox.sweep("plan")
    ran = sandbox.sweep("confirm", code=1)
    assert "there is nothing to confirm" in ran.err
    assert "--top" in sandbox.sweep("confirm", "--top", "0", code=2).err


def test_a_notebook_loads_it(sandbox: Sandbox, toy: Toy) -> None:
    noisy(sandbox, toy, replicates="2")
    sandbox.sweep("plan")
    sandbox.sweep("submit")
    sandbox.follow()
    loaded = sweep.load(sandbox.path / "results/toy")
    assert loaded.name == "toy"
    assert loaded.trials["replicate"].tolist() == [0, 1] * 3
    assert {str(kind) for kind in loaded.trials.dtypes[["trial", "replicate", "seed"]]} == {"int64"}
    assert loaded.results["test.segMeasure"].tolist() == [1, 1, 2, 2, 3, 3]
    assert loaded.results.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert loaded.leaderboard["x"].tolist() == [3, 2, 1]
    assert loaded.best
    assert loaded.best.parameters == {"x": 3}
    assert len(repr(loaded)) < 200


def test_what_was_planned_stays_whoever_goes_on(sandbox: Sandbox, toy: Toy) -> None:
    """Later commands take neither their own environment, nor a template or a grid that was edited since."""
    noisy(
        sandbox,
        toy,
        command="[python3, noisy.py, '{{ x }}', '{{ env.DATA }}', '{{ env.MORE | default(0) }}']",
        resources="{walltime: 5min, memory: '{{ env.MIB }}MiB'}",
    )
    sandbox.write("ours.j2", "{% extends 'local.sh.j2' %}{% block setup %}{% include 'site.j2' %}{% endblock %}\n")
    sandbox.write("site.j2", "# our site\n")
    planned = {"DATA": "/data/a", "MIB": "50", "MY_API_KEY": "hush"}
    assert "looks like a secret" not in sandbox.sweep("plan", "--template", "ours.j2", env=planned).err
    sandbox.sweep("submit")
    sandbox.follow()
    sandbox.write("ours.j2", "broken {{")
    toy(command="[false]", parameters="{x: [1]}")
    later = {"DATA": "/data/b", "MORE": "1", "MIB": "70"}
    report = sandbox.sweep("confirm", "--top", "1", "--replicates", "2", "--json", env=later).json
    argv = sandbox.sweep("why", str(report["trials"][0]), "--json").json["argv"]
    assert argv[-2:] == ["/data/a", "0"]
    script = next(iter(sorted((sandbox.path / "results/toy/jobs").glob("*.sh"), reverse=True))).read_text()
    assert "# our site" in script
    assert "--memory-mib=50" in script
    sandbox.follow()
    assert sandbox.states() == {"done": 5}


def test_a_variable_that_looks_like_a_secret_is_told(sandbox: Sandbox, toy: Toy) -> None:
    toy(command="[python3, trial.py, '{{ x }}', '{{ how }}', '{{ env.MY_API_KEY }}']")
    assert "{{ env.MY_API_KEY }} looks like a secret" in sandbox.sweep("plan", env={"MY_API_KEY": "hush"}).err
