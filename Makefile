# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-vllm coverage check format lint types docs bench screenshots lock release clean

PYTHON_IN_VENV := .venv/bin/python
# Tests wait for processes a third of their time, so more of them than cores. Each worker takes neighbours, which share what a module
# prepares, and from another worker when it has none left. Real engines run alone: what else runs beside one slows both down.
PARALLEL = -n $$(nproc | awk '{ n = int($$1 * 1.5 + 0.5); print (n > 12 ? 12 : n) }') --dist worksteal
REAL_ENGINE = -m real_engine tests/engine

help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14 | sed 's/^/  /'

setup: ## make .venv, or bring it up to date; EXTRA=cpu|gpu overrules nvidia-smi, DRY_RUN=1 only looks
	@requirements/setup.sh $(if $(filter-out 0,$(DRY_RUN)),dry-run,install)

demo: setup ## a real evaluation of a small model, without GPU or network
	@$(PYTHON_IN_VENV) -m llmbench

test: setup ## the tests
	@requirements/setup.sh browser
	@$(PYTHON_IN_VENV) -m pytest $(PARALLEL) -m "not real_engine"
	@$(PYTHON_IN_VENV) -m pytest $(REAL_ENGINE)

test-fast: setup ## the tests that need no real engine, browser or sandbox and are quick
	@$(PYTHON_IN_VENV) -m pytest -m "not real_engine and not sandbox and not browser and not slow" $(PARALLEL)

test-vllm: setup ## the tests with a real engine on another vLLM for the CPU: make test-vllm VERSION=0.27.1
	@requirements/setup.sh vllm "$(VERSION)"
	@.venv.vllm-$(VERSION)/bin/python -m pytest $(REAL_ENGINE)

coverage: setup ## the tests, and which branches they do not take
	@requirements/setup.sh browser
	@$(PYTHON_IN_VENV) -m pytest --cov --cov-report= $(PARALLEL) -m "not real_engine"
	@$(PYTHON_IN_VENV) -m pytest --cov --cov-append --cov-report=term-missing:skip-covered $(REAL_ENGINE)

check: lint types test ## the gate: format, lint, types, tests

lint: setup ## format and lint, changing nothing
	@$(PYTHON_IN_VENV) -m ruff format --check
	@$(PYTHON_IN_VENV) -m ruff check
	@.venv/bin/shellcheck requirements/*.sh .ci/run tests/bench/*.sh docs/examples/*.sbatch

types: setup ## mypy, strict
	@$(PYTHON_IN_VENV) -m mypy

format: setup ## format the code, and fix what ruff can fix
	@$(PYTHON_IN_VENV) -m ruff format
	@$(PYTHON_IN_VENV) -m ruff check --fix

docs: setup ## the documents as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(PYTHON_IN_VENV) -m mkdocs build # --quiet would silence strict too: it counts the warnings that are shown
	@echo "Written to site/index.html. Its search needs a server: python3 -m http.server -d site"

bench: setup ## measure llmbench itself, and run the tests that take minutes: killed engines, lost hosts
	@$(PYTHON_IN_VENV) -m tests.bench
	@$(PYTHON_IN_VENV) -m pytest tests/bench/*_faults.py tests/bench/notebook_vllm.py

screenshots: setup ## take the pictures in README.md and docs/ anew, of a real run
	@requirements/setup.sh browser
	@$(PYTHON_IN_VENV) -m tests.bench.screenshots $(ARGS)

lock: ## resolve pyproject.toml anew, newest versions (KEEP=1: as few changes as needed): requirements/cpu.txt and requirements/gpu.txt
	@requirements/setup.sh lock

release: setup ## build the release in dist/, look at it, install its wheel elsewhere and run it there
	@requirements/release.sh

clean: ## remove .venv, caches and builds; what runs wrote stays
	rm -rf .venv .venv.lock .venv.old.* .venv.vllm-* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
