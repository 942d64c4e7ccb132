# Needs Python >= 3.11 and make; everything else goes into .venv.
PYTHON ?= python3
PYTEST_ARGS ?= -n 2 --dist worksteal
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint types docs bench clean

help:             ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

.venv/python:
	@echo "creating a virtual environment in .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "xgeoanom needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/user: pyproject.toml constraints.txt .venv/python
	@echo "installing xgeoanom (torch is large: some minutes)"
	@$(PIP) -e .
	@touch $@

.venv/developer: pyproject.toml constraints.txt .venv/python
	@echo "installing xgeoanom with the tools of its developers (some minutes)"
	@$(PIP) -e ".[dev]"
	@touch $@ .venv/user

demo: .venv/user  ## survey points to anomaly map on the embedded survey, into demo/
	@$(BIN)/xgeoanom demo --output demo

test: .venv/developer  ## the tests and the docstrings' examples
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/developer  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/developer  ## mypy on the package
	@$(BIN)/mypy

docs: .venv/developer  ## the documentation, into docs/_build/html
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: .venv/developer  ## every benchmark once, at full size
	@$(BIN)/asv machine --yes --config benchmarks/asv.conf.json > /dev/null
	@$(BIN)/asv run --config benchmarks/asv.conf.json --python=same --quick --show-stderr

clean:            ## remove what was built, .venv and demo/ too
	@rm -rf .venv demo build dist docs/_build docs/api/generated .mypy_cache .ruff_cache \
	  .pytest_cache .hypothesis benchmarks/.asv
	@find xgeoanom tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
