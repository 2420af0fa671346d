# Two commands: `make demo` and `make test`. Each does its own set-up, in .venv, and installs nothing elsewhere.
# Beside them: `make bench` measures (an hour, an idle machine), `make bench-check` counts (seconds).

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV_PYTHON = .venv/bin/python

# Nothing is compiled at installation, and what is imported is, once: with this set, as on some machines, each of the
# tests' thousands of commands would compile all of it again, which doubles their time.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test lint bench bench-check clean

demo: .venv/ready
	@bash examples/demo.sh

test: .venv/ready lint bench-check
	$(VENV_PYTHON) -m pytest -n 3 --dist worksteal

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

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python of 3.11 or newer on PATH; name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(VENV_PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check -e '.[trainer-cpu,dev]'
	@touch $@

clean:
	rm -rf .venv demo-data results/demo build dist *.egg-info
