# Everything a contributor runs. Needs Python 3.11 or newer, nothing else; `make clean` before changing PYTHON.

PYTHON ?= python3
ARGS   ?=

BIN     := .venv/bin
RUNTIME := .venv/.runtime
DEV     := .venv/.dev
PEERS   := .venv/peers/.installed
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# pyright's wrapper would otherwise ask the package index for a newer version on every run.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench peers crash build clean

help:  ## this list
	@echo "Targets (PYTHON=... chooses the interpreter, ARGS=... goes to the command behind a target):"
	@sed -n 's/^\([a-z]*\):.*##/  \1 -/p' Makefile

demo: $(RUNTIME)  ## run the docs desk on a question of its own; ask yours with ARGS="'my question' --folder notes"
	$(BIN)/python -m examples.docs_desk --pace 0.4 $(ARGS)

test: lint types  ## lint, types and every test but the slow campaign
	$(BIN)/pytest -n 2 $(ARGS)

lint: $(DEV)  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV)  ## mypy and pyright
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(DEV) peers  ## measure Turnstile beside the others, ten minutes; ARGS=--quick takes one or two
	$(BIN)/python -m tests.benchmarks $(ARGS)

crash: $(DEV)  ## the slow campaign: kills, simulated disks, long searches
	$(BIN)/pytest -m slow --timeout 1800 $(ARGS)

build: $(DEV)  ## wheel and source archive, into dist/
	rm -rf dist
	$(BIN)/python -m build

clean:  ## remove all that these targets made
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/browser/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps below keep repeated calls from installing again.

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Turnstile needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)"; \
	  echo "Install one and name it, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; } >&2
	$(PYTHON) -m venv --clear .venv

$(RUNTIME): $(BIN)/pip pyproject.toml constraints.txt
	$(INSTALL) --editable .
	@touch $@

$(DEV): $(BIN)/pip pyproject.toml constraints.txt
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(RUNTIME)

# What the benchmark compares with lives in an environment of its own; without a network the benchmark does without.
peers: $(BIN)/pip
	@$(MAKE) --no-print-directory $(PEERS) || echo "bench: the others could not be installed; measuring without them"

$(PEERS): tests/benchmarks/engines/requirements.txt
	$(BIN)/python -m venv --clear .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
