# Every target sets itself up: a virtual environment in .venv with the locked dependencies.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Without byte code every start would compile thousands of files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench bench-kafka performance-pictures schemas lock clean
.DEFAULT_GOAL := demo

demo: .venv/installed  ## run the whole system on a simulated company
	$(BIN)/c360 demo

test: .venv/installed  ## run all tests; those that need Java for Kafka skip without it
	$(BIN)/pytest -n 2 --dist loadgroup

lint: .venv/installed  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## run the benchmarks
	$(BIN)/c360 bench

bench-kafka: .venv/installed  ## run the benchmarks that need a broker beside one of their own: Java 17, Maven for its jars
	$(BIN)/python -m tests.integration $(BIN)/c360 bench kafka
	$(BIN)/python -m tests.integration $(BIN)/c360 bench latency

performance-pictures: .venv/installed  ## draw the pictures of docs/performance.md from docs/performance.jsonl
	$(BIN)/python -m bench.pictures

schemas: .venv/installed  ## write schemas/events and docs/asyncapi.yaml from the contracts
	$(BIN)/python -m c360_stream.contracts

lock:  ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade -o requirements.lock

clean:  ## remove what the targets made
	rm -rf .venv demo-out .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "c360-stream needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into .venv (once)..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
