# Every target sets itself up: a virtual environment in .venv with the locked dependencies.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Without byte code every start would compile thousands of files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all soak format lint bench bench-kafka bench-all performance-pictures containers schemas dashboards secrets lock clean
.DEFAULT_GOAL := demo

demo: .venv/installed  ## run the whole system on a simulated company
	$(BIN)/c360 demo

# A file's tests share fixtures, so they stay on one worker; the quick ones come last, so that all end together.
# The longest are named at the end, with their seconds. One worker more than two cores: brokers, stops, and outages
# are waited for, most of all in test-all.
WORKERS ?= 3
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 25 --durations-min 2

test: .venv/installed  ## run the quick tests: some minutes, and nothing but Python
	$(PYTEST) -m "not slow and not kafka"

test-all: test  ## run the others too: crashes, clusters, schedules; those skip that need Java for Kafka, or other programs
	$(PYTEST) -m "slow or kafka"

SCHEDULES ?= 1000
soak: .venv/installed  ## run a thousand simulated schedules of crashes, outages, rescaling: SCHEDULES=N for others
	seq 0 50 $$(($(SCHEDULES) - 1)) | xargs -P 2 -I{} $(BIN)/python -m tests.simulation --first-seed {} --schedules 50

MARKDOWN := git ls-files -z '*.md' | xargs -0 $(BIN)/mdformat

format: .venv/installed  ## format code and Markdown
	$(BIN)/ruff format .
	$(MARKDOWN)

lint: .venv/installed  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(MARKDOWN) --check
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed  ## run the benchmarks
	$(BIN)/c360 bench

bench-kafka: .venv/installed  ## run the benchmarks that need a broker beside one of their own: Java 17, Maven for its jars
	$(BIN)/python -m tests.integration $(BIN)/c360 bench kafka
	$(BIN)/python -m tests.integration $(BIN)/c360 bench latency

RESULTS ?= docs/performance.jsonl
BROKER := $(BIN)/python -m tests.integration $(BIN)/c360 bench
bench-all: .venv/installed  ## measure all of docs/performance.md anew, over an hour with nothing else running, into RESULTS
	rm -f $(RESULTS).new
	for item in decode features tick model resume ticks refused midnight; do \
		$(BIN)/c360 bench $$item --json >> $(RESULTS).new || exit 1; done
	$(BIN)/c360 bench replay --events 4000000 --json >> $(RESULTS).new
	$(BIN)/c360 bench scaling --events 12000000 --json >> $(RESULTS).new
	$(BIN)/c360 bench history --processes 2 --json >> $(RESULTS).new
	$(BIN)/c360 bench latency --brokers '' --json >> $(RESULTS).new
	$(BROKER) latency --json >> $(RESULTS).new
	$(BROKER) kafka --events 3000000 --json >> $(RESULTS).new
	$(BROKER) idle --seconds 30 --json >> $(RESULTS).new
	$(BROKER) idle --seconds 30 --partitions 128 --json >> $(RESULTS).new
	for accounts in 20000 60000; do \
		$(BIN)/c360 bench memory --tick-accounts $$accounts --json >> $(RESULTS).new || exit 1; done
	for accounts in 100000 1000000; do \
		$(BIN)/c360 bench snapshot --tick-accounts $$accounts --json >> $(RESULTS).new || exit 1; done
	$(BIN)/python -m bench.windows >> $(RESULTS).new
	mv $(RESULTS).new $(RESULTS)

performance-pictures: .venv/installed  ## draw the pictures of docs/performance.md from docs/performance.jsonl
	$(BIN)/python -m bench.pictures

containers: .venv/installed  ## prove image and compose file in a container engine; without one, as root on Debian, make one
	$(BIN)/python -m tests.containers

schemas: .venv/installed  ## write schemas/events and docs/asyncapi.yaml from the contracts
	$(BIN)/python -m c360_stream.tools.schemas.files

dashboards: .venv/installed  ## write deploy/grafana/dashboards from deploy/dashboards, the PrometheusRule from the rules
	$(BIN)/python -m deploy.dashboards
	$(BIN)/python -m deploy.kubernetes.prometheus_rule

secrets:  ## make the passwords of the compose stack in deploy/secrets; keeps those that are there
	@$(PYTHON) deploy/make_secrets.py

UV_COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
# What the image installs: the same versions, without the embedded database, and wheels only.
UV_COMPILE_IMAGE := $(UV_COMPILE) --constraint requirements.lock --only-binary :all:

lock:  ## resolve requirements.lock anew from pyproject.toml, and the image's locks from it
	$(BIN)/pip install --quiet uv
	$(UV_COMPILE) pyproject.toml --extra dev --upgrade -o requirements.lock
	echo chdb | $(UV_COMPILE_IMAGE) pyproject.toml --excludes /dev/stdin --upgrade -o requirements-image.lock
	echo 'setuptools>=77' | $(UV_COMPILE_IMAGE) - --upgrade -o deploy/requirements-build.lock

clean:  ## remove what the targets made
	rm -rf .venv demo-out .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "c360-stream needs Python 3.11 or 3.12; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing into .venv (once, a minute or two)..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python deploy/install_progress.py requirements.lock \
		pip install --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
