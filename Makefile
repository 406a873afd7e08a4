# Needs Python 3.11 or newer with pip, and make. Everything is installed into .venv.
#
#   make quickstart   install, then train a small Llama on four CPU processes
#   make test         the test suite
#   make test-long    the tests that are too slow for it
#   make slurm-test   programs under a Slurm of two nodes on this machine; Slurm must be installed
#   make survival-campaign   200 runs killed at any instant, 200 with corrupted checkpoints
#   make mutation-campaign   300 small mistakes in each of 6 programs, into out/mutants; resumable
#   make lint types   ruff; pyright in strict mode
#   make docs         regenerate what docs/ and the README quote from the code
#   make benchmarks   start-up, compile time, size of programs, time of a check, speed of reading
#   make clean        remove all of the above

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# torch and every worker of pytest would otherwise each start a thread per core.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DELETE_ON_ERROR:
.PHONY: quickstart test test-long slurm-test survival-campaign mutation-campaign lint types docs benchmarks
.PHONY: install install-dev text clean

quickstart: install text
	$(BIN)/llamac run examples/quickstart.llama laptop

test: install-dev
	$(PYTEST) -n 2 --dist worksteal -m "not long and not slurm"

test-long: install-dev
	$(PYTEST) -m long

slurm-test: install-dev
	$(PYTEST) -m slurm tests/slurm

survival-campaign: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.programs.survival

mutation-campaign: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.twin.campaign out/mutants

lint: install-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: install-dev
	$(PYTEST) tests/docs --update-golden

benchmarks: install
	$(BIN)/python benchmarks/measure.py
	$(BIN)/python benchmarks/loader.py

text: install
	$(BIN)/python scripts/gather_text.py

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

# The lock goes in first and the project without its dependencies, so that the lock
# alone decides every version, and torch is always requested by its exact version.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llamac needs Python 3.11 or newer; run make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(PIP) install --quiet --requirement requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) build dist data .pytest_cache .ruff_cache .hypothesis
	find dsl compiler backends llamac scripts benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
