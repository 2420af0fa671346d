# Two commands: `make demo` and `make test`. Each does its own set-up, in .venv, and installs nothing elsewhere.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV_PYTHON = .venv/bin/python

.PHONY: demo test lint clean

demo: .venv/ready
	@bash examples/demo.sh

test: .venv/ready lint
	$(VENV_PYTHON) -m pytest -n 3 --dist worksteal

lint: .venv/ready
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python of 3.11 or newer on PATH; name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(VENV_PYTHON) -m pip install --quiet --no-compile --disable-pip-version-check -e '.[trainer-cpu,dev]'
	@touch $@

clean:
	rm -rf .venv demo-data results/demo build dist *.egg-info
