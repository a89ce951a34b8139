# Bare `make` lists the targets. Everything is installed into .venv; the data lies in var/ (EMPORIUM_DATA_DIR).

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help install up test faults fuzz check bench lock clean

PYTHON ?=
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed

# The first Python of at least 3.11, unless PYTHON names one.
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11)
RECENT := import sys; sys.exit(sys.version_info < (3, 11))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo '  ARGS="..." is handed on, as in: make up ARGS="--port 8080", make test ARGS="-k saga"'

install: $(STAMP) ## make .venv and install what requirements.lock names, checked by its hashes

$(STAMP): requirements.lock pyproject.toml
	@set -e; python=; for candidate in $(CANDIDATES); do \
		if "$$candidate" -c '$(RECENT)' 2>/dev/null; then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
		echo "Emporium needs Python 3.11 or later; none of '$(CANDIDATES)' is. Install one, or name it: make install PYTHON=/path/to/python3" >&2; exit 1; fi; \
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
		echo "This Python cannot make virtual environments: install its venv package (Debian, Ubuntu: apt-get install python3-venv)." >&2; exit 1; fi; \
	$(BIN)/python -c '$(RECENT)' 2>/dev/null || { rm -rf .venv; "$$python" -m venv .venv; }
	@echo "Installing into .venv; the first time this takes a minute or two."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation -e .
	@touch $@

up: install ## start the shop on embedded defaults; Ctrl-C stops it
	@exec $(BIN)/emporium up $(ARGS)

check: install ## lint, format, types and the import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@report=$$($(BIN)/lint-imports 2>&1) || { echo "$$report"; exit 1; }

test: check ## everything in check, then all tests with coverage
	@$(BIN)/python -m pytest -n 3 --dist loadgroup --cov --cov-report=term --durations=15 $(ARGS)

faults: install ## kill processes and fail calls at length; FAULTS_SEED=n repeats the choices of a run
	@$(BIN)/python -m pytest -m soak -s tests/faults $(ARGS)

fuzz: install ## try the whole API with a hundred thousand made-up requests
	@EMPORIUM_FUZZ_CALLS=$${EMPORIUM_FUZZ_CALLS:-100000} $(BIN)/python -m pytest -s --timeout 36000 tests/fuzz $(ARGS)

bench: install ## measure against the goals; ARGS="--json", or names of single measurements
	@exec $(BIN)/emporium bench $(ARGS)

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@uv pip compile pyproject.toml --extra test --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

clean: ## remove .venv, caches and build output; the data in var/ stays
	@rm -rf .venv build dist .coverage .coverage.* htmlcov .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
