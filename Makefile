# Every command of this project. Each prints what it does and stops at the first error with the mend.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

PYTHON ?= python3
BEGAN := $(shell date +%s)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
BOOTSTRAP := $(PYTHON) tools/bootstrap.py
CLUSTER := $(BIN)/python -m tests.cluster
COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11
# `make test-e2e ARGS="-k schedule -x"`: more options for pytest
ARGS ?=
# `make model MODEL_ARGS="--steps 50000 --seed 7"`, and for `make chaos`, which runs it first
MODEL_ARGS ?=

##@ See it
.PHONY: help demo demo-down
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ /{printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' Makefile
	@echo

demo: setup ## Kubernetes, the operator and an example that scales from zero and back; answers in the end
	@$(CLUSTER) prepare
	@CREWLINE_BEGAN=$(BEGAN) CREWLINE_REGISTRY="$(CREWLINE_REGISTRY)" $(BIN)/python -m tools.demo up

demo-down: setup ## take away all that the demo made
	@$(BIN)/python -m tools.demo down

##@ Test it
.PHONY: test test-unit test-redis test-interop test-chaos test-e2e chaos model bench bench-operator bench-pods lint types
test: setup redis-server node cluster lint types ## all of it: lint, types, then unit, Redis, chaos, interop and e2e tests
	@echo "test: unit, redis, chaos, interop, e2e"
	@$(PYTEST) $(ARGS)

test-unit: setup ## tests that need no service, in seconds
	@$(PYTEST) tests/unit $(ARGS)

test-redis: setup redis-server ## the engine on a real Redis
	@$(PYTEST) tests/redis $(ARGS)

test-interop: setup redis-server node ## the engine and BullMQ's own Node packages on one Redis
	@$(PYTEST) tests/interop $(ARGS)

test-chaos: setup redis-server ## one fault at a time: no job lost, none handled twice without a reason
	@$(PYTEST) tests/chaos $(ARGS)

chaos: model ## the same for 20,000 jobs a fault, some 20 minutes: make chaos ARGS="sigkill --json rows.json"
	@$(BIN)/python -m tests.chaos $(ARGS)

model: setup redis-server ## 10,000 random steps through the scripts, invariants after each: make model MODEL_ARGS="--seed 1"
	@$(BIN)/python -m tests.redis.model $(MODEL_ARGS)

#: those that come near to us in one measure or another, in rounds that follow each other sooner
NEAREST := crewline,bullmq-node,dramatiq,huey,taskiq-list,taskiq-stream-res
bench: setup redis-server ## ours beside ten other libraries, then far, long and wide runs of ours; an hour on a quiet machine
	@UV=$(CURDIR)/$(BIN)/uv bench/setup.sh
	@$(BIN)/python bench/run.py --out bench/results/peers.json $(ARGS)
	@$(BIN)/python bench/run.py --no-limits --peers $(NEAREST) --out bench/results/nearest.json
	@$(BIN)/python bench/scenarios.py --out bench/results/scenarios.json
	@$${BENCH_HOME:-$$(dirname "$$(mktemp -u)")/bench}/venvs/plot/bin/python bench/publish.py

bench-operator: setup redis-server node cluster ## how soon the operator reacts and what it costs, 15 minutes: make bench-operator ARGS="idle"
	@$(BIN)/python -m bench.operator $(ARGS)

bench-pods: setup redis-server cluster ## until jobs are done by pods that have to start first, and 50 scale-ins under load, an hour: make bench-pods ARGS="wake --samples 10"
	@$(BIN)/python -m bench.operator.pods $(ARGS)

test-e2e: setup redis-server node cluster ## the operator on a real Kubernetes
	@$(PYTEST) tests/e2e $(ARGS)

lint: setup ## ruff and the import rules
	@echo "lint: ruff check, ruff format, import rules"
	@$(BIN)/ruff check --quiet . || { echo "mend: $(BIN)/ruff check --fix ., then by hand what is left"; exit 1; }
	@$(BIN)/ruff format --quiet --check . || { echo "mend: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/lint-imports --no-logo >.venv/lint-imports.log 2>&1 || { cat .venv/lint-imports.log; \
	  echo "mend: move the import; [tool.importlinter] in pyproject.toml says which way they point"; exit 1; }

types: setup ## mypy, strict
	@echo "types: mypy"
	@$(BIN)/mypy --no-error-summary

##@ Work on it
.PHONY: setup lock clean redis-server node cluster
setup: ## .venv with the locked packages; a no-op when nothing changed
	@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON): install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"; exit 1; }
	@$(BOOTSTRAP) venv

lock: setup ## renew requirements/*.txt from pyproject.toml; UPGRADE=1 takes newer versions
	@echo "lock: requirements/worker.txt, operator.txt, dev.txt"
	@$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra cli --extra typed --extra metrics --extra fast -o requirements/worker.txt
	@$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --extra operator --extra fast -o requirements/operator.txt
	@$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml requirements/dev.in --extra cli --extra operator --extra typed --extra metrics --extra tracing --extra reload \
	  --extra fast \
	  -c requirements/worker.txt -c requirements/operator.txt -o requirements/dev.txt

clean: ## remove .venv, node_modules and caches; clusters stay (make demo-down)
	rm -rf .venv tests/interop/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

redis-server:
	@$(BOOTSTRAP) need redis-server faketime

node:
	@$(BOOTSTRAP) node

cluster:
	@$(CLUSTER) prepare
