# Two commands: `make canary` builds and proves the built-in canary, `make test` runs every test.
VENV := .venv
FIT = import os, sys, sysconfig, venv, ensurepip; sys.exit(not ((3, 10) <= sys.version_info < (3, 14) \
	and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))))
# The first Python from 3.10 to 3.13 that runs, has venv and has headers; PYTHON=... names another.
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$one -c '$(FIT)' 2>/dev/null && echo $$one && break; done)
NEEDED = for one in git g++ make; do command -v $$one >/dev/null || missing="$$missing $$one"; done; \
	if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(FIT)' 2>/dev/null; then \
	missing="$$missing python3 (3.10 to 3.13, with venv and headers)"; fi; \
	if [ -n "$$missing" ]; then echo "missing:$$missing" >&2; \
	echo "as root: apt-get install -y git g++ make python3 python3-venv python3-dev" >&2; \
	echo "or without root: micromamba create -y -p ~/build-tools -c conda-forge python=3.11 gxx_linux-64 git make" >&2; \
	echo "and then: PATH=~/build-tools/bin:\$$PATH make canary" >&2; exit 3; fi
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
UV := UV_CUSTOM_COMPILE_COMMAND='make relock' uv pip compile -q --universal --generate-hashes --no-annotate --python-version 3.10

.PHONY: canary test check unit integration bench nightly slurm conformance setup setup-dev relock clean

canary: setup  ## Build the canary and prove that it works.
	$(VENV)/bin/trtllm-build --profile canary

test: check unit integration  ## All that CI asks for.

check: setup-dev  ## Lint, types, import floors.
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

unit: setup-dev
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal tests/unit

integration: setup-dev
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile tests/integration

bench: setup-dev
	$(VENV)/bin/python -m pytest tests/benchmarks -s

nightly: setup-dev  ## Four nights of three profiles through the rendered workflow files, into an index.
	$(VENV)/bin/python tests/nightly/nights.py

slurm: setup-dev  ## Fleets on a real Slurm of this machine's own; installs it, needs root.
	$(VENV)/bin/python -m pytest tests/slurm

conformance: setup-dev  ## Against real upstream files: UPSTREAM_TREES=DIR make conformance
	$(VENV)/bin/python -m pytest tests/conformance -rs

setup: $(VENV)/complete
setup-dev: $(VENV)/complete-dev

$(VENV)/complete: requirements.lock pyproject.toml
	@$(NEEDED)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/complete-dev: requirements-dev.lock $(VENV)/complete
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

relock:  ## Resolve our dependencies and the tools again (needs uv).
	$(UV) --group build -o requirements.lock pyproject.toml
	$(UV) --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	for one in trtllm_builder/tools/locks/*.in; do $(UV) --no-deps --only-binary :all: -o $${one%.in}.txt $$one; done

clean:
	rm -rf $(VENV) dist build
