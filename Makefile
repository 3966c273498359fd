# Two commands do everything on a fresh machine with Python 3.11+ and pip:
#   make serve   set up and serve a real model
#   make test    set up and pass the tests
.DEFAULT_GOAL := help
.PHONY: help setup serve test engines check fuzz bench-gateway bench-engine bench-engines bench-encoder bench-beside bench-memory \
  format lock clean

PYTHON ?= python3
VENV := .venv
UV := .uv/bin/uv
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export UV_PYTHON_DOWNLOADS := never
unexport PYTHONPATH

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# uv through pip, into a folder of the project: works where Debian forbids installing beside its own packages.
$(UV):
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "moorage: $(PYTHON) has no pip; install it first: apt-get install python3-pip" >&2; exit 1; }
	@echo "moorage: fetching uv"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .uv uv==0.13.8

$(VENV)/.ready: requirements.lock pyproject.toml | $(UV)
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip install --require-hashes --only-binary :all: -r requirements.lock
	@$(UV) pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@$(UV) pip install --quiet --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@

$(VENV)/.ready-extra-%: requirements-%.lock $(VENV)/.ready
	@$(UV) pip install --quiet --require-hashes --only-binary :all: -r $<
	@touch $@

setup: $(VENV)/.ready $(EXTRAS:%=$(VENV)/.ready-extra-%) ## make .venv with what serving needs; EXTRAS="speech openvino" adds to it

serve: setup ## serve the default models; ARGS="…" are passed on
	@exec $(VENV)/bin/moorage serve $(ARGS)

test: $(VENV)/.ready-dev ## unit, contract, integration and end-to-end tests; ARGS="…" are passed to pytest
	@$(VENV)/bin/python -m pytest $(ARGS)

engines: $(VENV)/.ready-dev ## the tests on vLLM, transformers and llama-server: fetches gigabytes once; ARGS="…" are passed to pytest
	@$(VENV)/bin/moorage engine install vllm
	@$(VENV)/bin/moorage engine install transformers
	@$(VENV)/bin/python -m pytest tests/engines $(ARGS)

fuzz: $(VENV)/.ready-dev ## a running server against its own document, for long; EXAMPLES=… cases of each route
	@MOORAGE_FUZZ_EXAMPLES=$(or $(EXAMPLES),300) $(VENV)/bin/python -m pytest tests/contract/test_openapi_fuzz.py $(ARGS)

check: $(VENV)/.ready-dev ## lint, types, imports, file sizes, docs
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports --no-cache
	@$(VENV)/bin/python scripts/check_sizes.py
	@$(VENV)/bin/python scripts/check_docs.py
	@$(VENV)/bin/pyright

bench-gateway: $(VENV)/.ready ## the gateway on one core beside nginx and a bare relay; ARGS="…" are passed on
	@$(VENV)/bin/python -m tests.bench.gateway $(ARGS)

bench-engine: $(VENV)/.ready ## streams through the gateway and straight at the runtime, in pairs; ARGS="…" are passed on
	@$(VENV)/bin/python -m tests.bench.engine $(ARGS)

bench-engines: $(VENV)/.ready-dev ## Moorage beside bare llama.cpp, vLLM and transformers; ARGS="…" are passed on
	@$(VENV)/bin/python -m tests.bench.engines $(ARGS)

bench-memory: $(VENV)/.ready-dev ## what is estimated beside what engines report; ARGS="…" are passed on
	@$(VENV)/bin/python -m tests.bench.memory $(ARGS)

bench-beside: $(VENV)/.ready-dev ## what embedding and speech cost a chat on the same machine; ARGS="…" are passed on
	@$(VENV)/bin/python -m tests.bench.beside $(ARGS)

bench-encoder: $(VENV)/.ready-dev ## embeddings a second, beside llama.cpp and bare ONNX Runtime; ARGS="…" are passed on
	@$(VENV)/bin/python -m tests.bench.encoder $(ARGS)

format: $(VENV)/.ready-dev ## format the code and regenerate the reference
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/python scripts/check_docs.py --write

LOCKED := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-find-links --no-header --no-annotate pyproject.toml
lock: $(UV) ## renew the hashed lock files; every other holds the versions of the widest
	@$(LOCKED) --upgrade --all-extras --group dev -o requirements-dev.lock
	@$(LOCKED) -c requirements-dev.lock -o requirements.lock
	@$(LOCKED) -c requirements-dev.lock --extra speech -o requirements-speech.lock
	@$(LOCKED) -c requirements-dev.lock --extra openvino -o requirements-openvino.lock

clean: ## remove what the commands above made in this folder
	rm -rf .venv .uv .pytest_cache .ruff_cache dist build
