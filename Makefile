# Everything a developer or a user runs. `make help` lists it.

# Which Python makes the virtual environment, 3.11 or newer:     make demo PYTHON=python3.12
PYTHON ?= python3
# Which build of torch to install; empty is the default index's: make demo TORCH_BACKEND=cpu
TORCH_BACKEND ?=
# More arguments for the demo, the benchmark, pytest and forge:  make test PYTEST_ARGS='-x -k merkle'
DEMO_ARGS ?=
BENCH_ARGS ?=
PYTEST_ARGS ?=
FORGE_ARGS ?=
FOUNDRY_PROFILE ?= default
# How many processes pytest runs in.
WORKERS ?= 2
# The seed of a long run, if it is to repeat another:              make test-long SEED=17
SEED ?=

# The mutants to draw, and how many to try at a time:              make mutation MUTATION_ARGS='--sample 0 --workers 2'
# A file of the Python core alone, all of its mutants:             make mutation-python MUTATION_ARGS='--sample 0 --files ledger/slots.py'
MUTATION_ARGS ?=

UV_VERSION := 0.13.9
VENV := .venv
SLITHER := .slither
BIN := $(VENV)/bin
UV := $(BIN)/uv
NODE_MODULES := contracts/node_modules
LOCK := $(UV) pip compile pyproject.toml --universal --python-version 3.11 --no-header --quiet
SOURCES := fednode ledger incentives scripts tests

.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-long bench lint types format lock engines forge pytest slither
.PHONY: mutation mutation-python clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.base ## four hospitals train one model; needs nothing but Python
	$(BIN)/fednode demo $(DEMO_ARGS)

test: lint types forge pytest ## lint, types, the contracts' tests, then Python's, end to end too

test-slow: ## the tests in Python that `make test` leaves out, because they take long
	$(MAKE) pytest PYTEST_ARGS='-m "slow and not long" $(PYTEST_ARGS)'

test-long: ## every test with many more examples and random faults, from a fresh seed, which it prints
	@seed='$(SEED)'; seed=$${seed:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "to repeat this run: make test-long SEED=$$seed"; set -e; \
	export CHAOS_SEEDS="$${CHAOS_SEEDS:-$$seed:$$((seed + 8))}"; \
	$(MAKE) forge FOUNDRY_PROFILE=long FORGE_ARGS="--fuzz-seed $$seed $(FORGE_ARGS)"; \
	$(MAKE) forge FOUNDRY_PROFILE=deep FORGE_ARGS="--fuzz-seed $$seed --match-contract Invariants $(FORGE_ARGS)"; \
	$(MAKE) pytest PYTEST_ARGS='--hypothesis-profile=long --hypothesis-seed='"$$seed"' -m "" $(PYTEST_ARGS)'

lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict, on the packages, the scripts and the tests
	$(BIN)/mypy --strict $(SOURCES)

format: $(VENV)/.dev ## let ruff mend and format the Python code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The npm package's `forge` command exits 0 even when tests fail, so the binary for this platform is called itself.
forge: export FOUNDRY_PROFILE := $(FOUNDRY_PROFILE)
forge: $(NODE_MODULES)/.installed ## the contracts' size and tests
	@cd contracts && set -e; \
	forge="$$(ls node_modules/@foundry-rs/forge-*/bin/forge | head -n 1)"; \
	echo "$$forge build --sizes && $$forge test"; \
	"$$forge" build --sizes && "$$forge" test $(FORGE_ARGS)

pytest: $(VENV)/.dev $(NODE_MODULES)/.installed engines ## Python's tests, end to end too
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

bench: $(VENV)/.dev $(NODE_MODULES)/.installed ## what a round costs, from receipts and timers
	$(BIN)/python scripts/bench/round.py $(BENCH_ARGS)

slither: $(SLITHER)/.installed $(NODE_MODULES)/.installed ## what Slither finds in the contracts must be explained
	$(SLITHER)/bin/python scripts/assurance/findings.py

mutation: $(SLITHER)/.installed $(NODE_MODULES)/.installed ## whether the contracts' tests notice mutants
	$(SLITHER)/bin/python scripts/assurance/mutate.py $(MUTATION_ARGS)

mutation-python: $(VENV)/.dev ## whether Python's tests notice mutants of what an audit replays
	$(BIN)/python scripts/assurance/mutate_python.py $(MUTATION_ARGS)

engines: ## build Kubo and geth, once, if they are not on the PATH
	@scripts/engines/build.sh

# The first lock is what running needs, the second adds what developing needs; packages in both have one version.
# UPGRADE=--upgrade moves to the newest versions.
lock: $(UV) ## renew the locks after a change of pyproject.toml
	$(LOCK) $(UPGRADE) -o requirements.lock
	$(LOCK) $(UPGRADE) --extra dev -c requirements.lock -o requirements-dev.lock
	cd scripts/assurance && ../../$(UV) pip compile slither.in --universal --python-version 3.11 --no-header --quiet \
	    $(UPGRADE) -o slither.lock

clean: ## remove what builds, tests and linters left
	rm -rf build dist contracts/out contracts/cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environment, the node modules and the engines as well
	rm -rf $(VENV) $(SLITHER) $(NODE_MODULES) .engines

# The virtual environment, as files whose age says what is installed in it.

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "FedNode needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# With another build of torch, CUDA's libraries are that build's business and not the lock's.
install = $(if $(TORCH_BACKEND),\
grep -Ev '^(nvidia|cuda|triton)' $(1) > $(VENV)/without-cuda.lock && \
$(UV) pip install --compile-bytecode --python $(BIN)/python --torch-backend=$(TORCH_BACKEND) -r $(VENV)/without-cuda.lock,\
$(UV) pip install --compile-bytecode --python $(BIN)/python -r $(1))

$(VENV)/.base: $(UV) requirements.lock pyproject.toml
	$(call install,requirements.lock)
	$(UV) pip install --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements-dev.lock
	$(call install,requirements-dev.lock)
	@touch $@

# Slither wants other versions of web3 and its kin than FedNode does, so it gets an environment of its own.
$(SLITHER)/.installed: $(UV) scripts/assurance/slither.lock
	$(UV) venv --quiet --clear --python $(BIN)/python $(SLITHER)
	$(UV) pip install --python $(SLITHER)/bin/python -r scripts/assurance/slither.lock
	@touch $@

# Install scripts are left out: the packages for each platform carry their binaries as they are.
$(NODE_MODULES)/.installed: contracts/package.json contracts/package-lock.json
	@command -v npm >/dev/null || { echo "the contracts' tools need Node 20 or newer, with npm" >&2; exit 1; }
	cd contracts && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
