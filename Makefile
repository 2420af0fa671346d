# Two commands: `make demo` and `make test`. Each does its own set-up, in .venv, and installs nothing elsewhere.
# Beside them: `make bench` measures (an hour, an idle machine), `make bench-check` counts (seconds). `make test-oldest`
# tries the oldest versions that pyproject.toml allows, `make test-newest` the newest of today. `make update` renews the
# two locks: requirements.lock for the two commands, requirements-oldest.lock for `make test-oldest`.

SHELL := bash

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV_PYTHON = .venv/bin/python
PIP_INSTALL = $(VENV_PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check
UV = .venv/bin/uv

# How the tests are run. .ci/run gives each that failed a second try: tests/again.py.
PYTEST = -m pytest

# Nothing is compiled at installation, and what is imported is, once: with this set, as on some machines, each of the
# tests' thousands of commands would compile all of it again, which doubles their time.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-cluster lint test-newest test-oldest update bench bench-check clean

demo: .venv/ready
	@bash examples/demo.sh

test: .venv/ready lint bench-check
	$(VENV_PYTHON) $(PYTEST) -n 3 --dist worksteal --durations=20

# The contract, on the real cluster that this machine submits to: for you, with an account on a site. No root, no daemon.
# In a folder that the nodes see; what failed is in test-cluster.log, to be sent back.
CLUSTER_FOLDER ?= $(HOME)/sweep-test-cluster
test-cluster: .venv/ready
	@if command -v sbatch >/dev/null; then which="slurm"; export SWEEP_REQUIRE_SLURM=1; \
	else which="site-pbs"; export SWEEP_REQUIRE_PBS=1; fi; set -o pipefail; \
	{ $(VENV_PYTHON) -m sweep doctor; \
	$(VENV_PYTHON) -m pytest tests/e2e/test_every_scheduler.py tests/e2e/test_done.py -k "$$which" \
		--basetemp="$(CLUSTER_FOLDER)"; } 2>&1 | tee test-cluster.log

lint: .venv/ready
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

bench-check: .venv/ready
	$(VENV_PYTHON) -m bench.check

bench: .venv/ready
	$(VENV_PYTHON) -m compileall -q sweep trainer
	$(VENV_PYTHON) -m bench.commands
	$(VENV_PYTHON) -m bench.watch
	$(VENV_PYTHON) -m bench.node_overhead
	$(VENV_PYTHON) -m bench.local_makespan
	$(VENV_PYTHON) -m bench.preload
	tests/cluster/slurm.sh install
	export SLURM_CONF=$$(tests/cluster/slurm.sh up) && $(VENV_PYTHON) -m bench.scheduler_calls && $(VENV_PYTHON) -m bench.end_to_end; \
		status=$$?; tests/cluster/slurm.sh down; exit $$status
	$(VENV_PYTHON) -m bench.table
	@echo "the trainer: python -m bench.trainer_steps, python -m bench.trainer_phases DATA (docs/trainer.md)"

# The unit tests with other versions than those of requirements.lock. Left out is what takes minutes: whole sweeps, whole
# races, the browser, the wheel, trainings; and what tries this file and .ci/.
UNIT_TESTS = tests sweep trainer --ignore=tests/e2e --ignore=tests/page --ignore=tests/race/test_races.py \
	$(addprefix --ignore=tests/test_,packaging.py set_up.py again.py gate.py summary.py) \
	$(addprefix --ignore=tests/trainer/test_,training.py fork.py gallery.py predict.py real.py)

# What the unit tests run of the code, in their own process: the commands that they start would cost half as much
# time again. With these versions it is 74.0 %, and hypothesis' random examples move the tenths. They are pinned: more
# than that moves with the code alone.
COVERAGE = --cov --cov-report=term:skip-covered --cov-fail-under=73

# The oldest versions, with the oldest Python, from a lock of their own: what lies below them is pinned as well. Only
# wheels are installed, for the tools that would build another file are pinned by nobody.
test-oldest: .venv/ready
	$(UV) venv --quiet --clear --no-python-downloads --python 3.11 .venv-oldest
	$(UV) pip sync --quiet --python .venv-oldest --require-hashes --only-binary :all: requirements-oldest.lock
	$(UV) pip install --quiet --python .venv-oldest --no-deps --no-build-isolation -e .
	$(UV) pip check --quiet --python .venv-oldest
	.venv-oldest/bin/python $(PYTEST) -n 3 --dist worksteal -W default::DeprecationWarning $(COVERAGE) $(UNIT_TESTS)

# A canary: the newest versions of this very day. It says what `make update` will meet, and decides nothing, for it
# fails by what others publish. Once a week is enough, by cron: 0 6 * * 1 cd CHECKOUT && git pull -q && make test-newest
test-newest: .venv/ready
	$(UV) venv --quiet --clear --python $(VENV_PYTHON) .venv-newest
	$(UV) pip install --quiet --python .venv-newest --upgrade -e '.[trainer-cpu,dev]'
	.venv-newest/bin/python -m pytest -n 3 --dist worksteal $(UNIT_TESTS)

# Renew the locks on purpose: the newest version of everything, for every Python that pyproject.toml allows; and the
# oldest version of what it names, with the newest of what lies below, for the oldest Python on this kind of machine.
COMPILE = $(UV) pip compile --quiet --upgrade --generate-hashes --custom-compile-command "make update" \
	--python-version 3.11 --extra trainer-cpu --extra dev pyproject.toml

update: .venv/ready
	$(COMPILE) --universal -o requirements.lock
	$(COMPILE) --resolution lowest-direct --only-binary :all: -o requirements-oldest.lock

# The lock names everything, so nothing is to be resolved (--no-deps): pip before 23.3 asks the index for coverage[toml],
# which the lock has as coverage, takes a newer one than the lock's, and then refuses it for want of a hash.
# A .venv without this file is half made, and is made anew.
.venv/ready: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: no Python of 3.11 or newer$(if $(PYTHON),: PYTHON is $(PYTHON), on PATH); install one, or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
	@.ci/step "$(PYTHON)" -m venv $(if $(wildcard $@),,--clear) .venv
	@rm -f $@
	@.ci/step $(PIP_INSTALL) --no-deps --require-hashes -r requirements.lock
	@.ci/step $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	$(VENV_PYTHON) -m pip --disable-pip-version-check check
	@touch $@

clean:
	rm -rf .venv .venv-newest .venv-oldest demo-data results/demo build dist *.egg-info
