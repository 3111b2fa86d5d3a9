# smartmoney: `make paper` starts the daemon on paper, `make test` tests it. Both do all their own set-up.
.DEFAULT_GOAL := help
.PHONY: help install research paper test test-slow test-all check lint types imports bench bench-peers default-bundle lock clean
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
RUN := $(VENV)/bin/smartmoney
# Where it is set, every process of a test would compile every module anew: half of the time of a short command.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(PY) -m pip install --quiet --no-compile --disable-pip-version-check

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/python: deploy/find-python
	@python=$$(deploy/find-python) && echo "making .venv with $$($$python --version)" && $$python -m venv --clear $(VENV) && touch $@

$(VENV)/runtime: $(VENV)/python deploy/requirements.lock pyproject.toml
	@echo "installing the locked requirements (once; under a minute on a good line)"
	@$(PIP) --require-hashes --only-binary :all: -r deploy/requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q -j 0 $(VENV)/lib smartmoney || true
	@touch $@

$(VENV)/development: $(VENV)/runtime deploy/requirements-dev.lock
	@$(PIP) --require-hashes --only-binary :all: -r deploy/requirements-dev.lock
	@$(PY) -m compileall -q -j 0 $(VENV)/lib || true
	@touch $@

$(VENV)/research: $(VENV)/runtime deploy/requirements-research.lock
	@$(PIP) --require-hashes --only-binary :all: -r deploy/requirements-research.lock
	@touch $@

install: $(VENV)/runtime ## set up .venv only

research: $(VENV)/research ## add what `smartmoney tune` needs: optuna, dask

paper: $(VENV)/runtime ## run the daemon on paper against the built-in exchange, until Ctrl-C
	@exec $(RUN) run --paper

test: $(VENV)/development ## run the tests (five minutes on two cores)
	@$(RUN) kernels > /dev/null
	@$(PY) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not campaign"

test-slow: $(VENV)/development ## run the slow tests alone (seven minutes on two cores)
	@$(RUN) kernels > /dev/null
	@$(PY) -m pytest -q -n 3 --dist loadfile -m "slow and not campaign"

test-all: $(VENV)/development ## run every test, the campaigns of kills and faults too (an hour)
	@$(RUN) kernels > /dev/null
	@SMARTMONEY_EXAMPLES=thorough $(PY) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

check: lint types imports test ## lint, types, imports, tests: what continuous integration runs

lint: $(VENV)/development
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(VENV)/development
	@$(VENV)/bin/mypy

imports: $(VENV)/development
	@$(VENV)/bin/lint-imports

default-bundle: $(VENV)/development ## train the model that ships with the package anew (half an hour; the same bytes on the same versions)
	@rm -rf build/default && $(RUN) train --built-in --name default --out build/default
	@rm -rf smartmoney/bundles/default && mkdir -p smartmoney/bundles && mv build/default smartmoney/bundles/default

bench: $(VENV)/development ## measure this machine, the peers in the same run
	@$(RUN) bench

$(VENV)-peers/installed: $(VENV)/python deploy/requirements-peers.lock
	@echo "installing the peers into $(VENV)-peers (once; about 1.5 GB)"
	@python=$$(deploy/find-python) && $$python -m venv --clear $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r deploy/requirements-peers.lock
	@touch $@

bench-peers: $(VENV)/runtime $(VENV)-peers/installed ## measure our backtest beside nautilus_trader and hftbacktest, same data
	@$(PY) tests/bench/peers/run.py $(BENCH)

lock: $(VENV)/development ## resolve deploy/*.in to hash-locked files
	@deploy/lock

clean: ## remove .venv and every cache (state and captures stay)
	@rm -rf $(VENV) $(VENV)-peers build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
