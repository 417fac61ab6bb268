# Everything a developer or newcomer runs; only `python3 -m venv` and GNU make (3.81 or later) are assumed.

PYTHON ?= python3
KITS ?= 200
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -q
MADE := $(VENV)/.made
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
CODE := fleet simulator

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format bench docs lock clean

help:
	@echo "make demo      install and run everything here with $(KITS) simulated kits (KITS=50 for fewer)"
	@echo "make install   make $(VENV) and install the server into it, in locked versions"
	@echo "make test      run the whole test suite (ARGS='-k name' for a part)"
	@echo "make lint      check style, types and the direction of imports"
	@echo "make format    put the code into its style"
	@echo "make bench     measure ingest, worker, API and books on this machine"
	@echo "make docs      write the generated reference pages"
	@echo "make lock      resolve the newest versions and write requirements*.txt"
	@echo "make clean     remove $(VENV) and caches; data of past runs stays"

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1 || true):" \
	       "name one with make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(INSTALLED): $(MADE) requirements.txt pyproject.toml
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps -e .
	@touch $@

$(DEV): $(INSTALLED) requirements-dev.txt
	$(PIP) install -r requirements-dev.txt
	@touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	@$(PY) -m fleet up --simulate $(KITS) $(ARGS)

# What needs programs from outside (a broker to kill, promtool, Chromium) are legs of .ci/run.
test: $(DEV)
	$(PY) -m pytest -n 2 -m "not faults and not scenarios and not tools and not browser" $(ARGS)

lint: $(DEV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(DEV)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(INSTALLED)
	$(PY) -m fleet bench $(ARGS)

docs: $(DEV)
	$(PY) -m fleet.docs

COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet --upgrade --strip-extras \
  --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header

lock: $(MADE)
	$(PIP) install 'pip-tools>=7.5,<8'
	$(COMPILE) --extra embedded --output-file requirements.txt pyproject.toml
	$(COMPILE) --extra embedded --extra dev --constraint requirements.txt \
	  --output-file requirements-dev.txt pyproject.toml
	@! grep -nE '^-|://|@|/' requirements.txt requirements-dev.txt || { \
	  echo "a lock names an index or a path of this machine" >&2; exit 1; }

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find $(CODE) tests -name __pycache__ -type d -prune -exec rm -rf {} +
