# The few things one does here; each sets up the project's own environment first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test flow compare serve ui preset setup clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
STAMP := $(VENV)/set-up
TESTS := $(VENV)/set-up-tests
FLOW ?= pipeline
GOAL ?=
PORT ?= 5000
# Of some hundred figures and parameters, those by which generators are told apart
COMPARED := class_accuracy|coverage|accuracy_synthetic_only|cas_gap_points
REPORT := data/reports/$(if $(filter report_%,$(GOAL)),$(GOAL:report_%=%),index).html

# Nothing phones home, from here or from what runs below.
export DO_NOT_TRACK ?= true
export DVC_NO_ANALYTICS ?= true
export MLFLOW_DISABLE_TELEMETRY ?= true
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10
	@echo
	@echo "presets, and what each takes on two cores (the default run: 10 CPU minutes):"
	@for file in tasks/commands/presets/*.yaml; do \
		printf '%-10s%s\n' "$$(basename "$$file" .yaml)" "$$(sed -nE 's/^# On two cores: //p' "$$file")"; \
	done

run: $(STAMP) ## do what has changed, both halves at once (GOAL=a stage: up to there alone)
	@python -m flows.together $(GOAL); \
	[ ! -e $(REPORT) ] || echo "The report: $(CURDIR)/$(REPORT)"

# three tests at once on two cores, since those with servers wait most of their time
test: $(TESTS) ## lint, types, the arrows between rooms, and tests
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	OMP_NUM_THREADS=1 pytest -n 3 --dist loadfile --no-loadscope-reorder

flow: $(STAMP) ## the same as run, inside a Prefect flow (FLOW=restoration, augmentation or pipeline)
	@python -m flows.pipeline $(FLOW)

compare: $(STAMP) ## the generators on the same images, as experiments in one table
	@python -m flows.compare && status=0 || status=$$?; \
	dvc exp show --no-pager --hide-workspace --drop '.*' --keep '^(Experiment|$(COMPARED))$$'; \
	exit $$status

serve: $(STAMP) ## Prefect, a worker and MLflow on this machine; Ctrl-C ends them (SCHEDULES=1: on time)
	@python -m flows.serve --mlflow-port $(PORT) $(if $(SCHEDULES),--schedules)

ui: $(STAMP) ## compare runs in MLflow's pages, on this machine only (PORT=5000)
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" \
		mlflow ui --host 127.0.0.1 --port $(PORT)

preset: $(STAMP) ## put a preset's values into params.yaml (NAME=photos)
	@python -m tasks.commands.presets "$(NAME)"

setup: $(STAMP) ## the environment alone

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "error: the lock file is for Python 3.11; name one with make PYTHON=..." >&2; exit 1; }
	@echo "Setting up $(VENV) from requirements.lock: some minutes the first time"
	@[ -x $(VENV)/bin/python ] || $(PYTHON) -m venv $(VENV)
	@python -m pip install -qq --no-deps -r requirements.lock
	@python -m pip install -qq --no-deps --no-build-isolation -e .
	@python -m pip check
	@touch $@

$(TESTS): $(STAMP) requirements-stores.lock requirements-test.lock
	@echo "Adding what the tests need"
	@python -m pip install -qq --no-deps -r requirements-stores.lock -r requirements-test.lock
	@python -m pip check
	@touch $@

clean: ## remove tools' caches, data sets, models and pages; the environment, MLflow and DVC's cache stay
	@rm -rf build ./*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find remint tasks flows tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf data/clean data/corrupted data/restored data/synthetic data/withheld data/models/restorer \
		data/models/generator data/reports/{index,restoration,augmentation}.html
