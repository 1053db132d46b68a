# Two commands on a bare machine with Python 3.11: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Each process has databases of its own.
PARALLEL := --numprocesses 2 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help run install test fuzz lint audit format bench lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: $(VENV)/installed ## everything on this machine, with 50 simulated phones
	@$(BIN)/geoingest up --simulate 50

install: $(VENV)/installed ## the program in .venv

test: $(VENV)/developing ## all tests, on the embedded PostgreSQL
	@$(BIN)/python -m pytest $(PARALLEL)

fuzz: $(VENV)/developing ## ten minutes of what no app sends, to the protocols of the apps
	@$(BIN)/python -m tests.fuzz_protocols --seconds 600

lint: $(VENV)/developing ## format, lint, types, imports, SQL, Dockerfile
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/sqlfluff lint sql
	@$(BIN)/hadolint Dockerfile

audit: $(VENV)/developing ## what is known against the packages of constraints.txt
	@$(BIN)/python -m tests.advisories

format: $(VENV)/developing ## puts every file into the format that lint wants
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/sqlfluff fix sql

bench: $(VENV)/developing ## measures, and writes bench/results.json and bench/README.md
	@$(BIN)/python -m bench all

lock: $(VENV)/developing ## writes constraints.txt anew
	@$(PIP) install uv
	@$(BIN)/uv pip compile --universal --no-emit-index-url --no-annotate --no-header --quiet \
		--python-version 3.11 --group dev --upgrade pyproject.toml --output-file constraints.txt

clean: ## removes .venv and caches
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing geoingest into $(VENV)"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/developing: $(VENV)/installed
	@echo "installing what the tests need"
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --constraint constraints.txt --group dev
	@touch $@
