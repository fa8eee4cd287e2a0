# Every command of the project. `make` alone lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN := .venv/bin/python
LAKE ?= local
REPORT ?= build/demo
RING ?=
NOTEBOOK ?= docs/lake.ipynb
PACKAGES := dlcore spark_jobs data_contracts sample_data quality_report search_service deploy plugins dags
# One process per core and one thread per process.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

PLAIN := not (spark or airflow or services or end_to_end or containers or convergence)
SELECTED := $(if $(RING),$(if $(filter plain,$(RING)),$(PLAIN),$(RING)),not (containers or convergence))

# The whole takes two processes, each with servers of its own; one ring is one process.
PROCESSES := $(if $(RING),,-n 2 --no-loadscope-reorder)

.DEFAULT_GOAL := help
.PHONY: help install demo up services-up down status catalogue notebook env-file check format test bench-env bench lock clean distclean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PIPELINE_HOME (default var), PIPELINE_PORT_OFFSET (default 0) and LAKE=local|hdfs choose the stack;"
	@echo "  make test RING=plain|spark|airflow|services|end_to_end|containers|convergence runs one ring of tests"

install:  ## install what is missing: .venv, Java services, PostgreSQL, native kernels
	@$(PYTHON) -m deploy.install

demo: install  ## run the whole pipeline on a generated catalogue, with a report in REPORT=build/demo (LAKE=hdfs: on HDFS)
	@$(RUN) -m deploy.demo --lake $(LAKE) --report $(REPORT)

up: install  ## start HBase, Spark Connect, Airflow and the search service, and keep them running
	@$(RUN) -m deploy.services up --lake $(LAKE)

services-up: install  ## the same with real HDFS under HBase and the lake
	@$(RUN) -m deploy.services up --lake hdfs

down:  ## stop everything that `make up` started
	@test ! -x $(RUN) || $(RUN) -m deploy.services down

status:  ## show what runs, and whether it serves
	@$(RUN) -m deploy.services status

catalogue: install  ## draw the demo's catalogue and load it into the running HBase (ADD=1: also beside other images)
	@eval "$$($(RUN) -m deploy.services environment)" && $(RUN) -m sample_data.catalogue.demo $$PIPELINE_HOME/catalogue \
		&& $(RUN) -m spark_jobs.load_images $$PIPELINE_HOME/catalogue/manifest.jsonl $(if $(ADD),,--only-new)

notebook: install  ## open docs/lake.ipynb on the running stack's tables, in Jupyter from .venv-notebook (NOTEBOOK=...: another)
	@test -x .venv-notebook/bin/jupyter-notebook || { $(PYTHON) -m venv .venv-notebook && .venv-notebook/bin/pip install --quiet notebook; }
	@JUPYTER_PATH=$(CURDIR)/.venv-notebook/share/jupyter $(RUN) -m ipykernel install --prefix $(CURDIR)/.venv-notebook >/dev/null
	@eval "$$($(RUN) -m deploy.services environment)" && .venv-notebook/bin/jupyter-notebook $(NOTEBOOK)

env-file:  ## write .env for `docker compose up --build`, with new secrets
	@test ! -e .env || { echo ".env is there already; remove it to draw new secrets (and the volumes that know the old ones)"; exit 1; }
	@umask 077; while IFS= read -r line; do case "$$line" in \
		'#'*) echo "$$line";; *=) echo "$$line$$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')";; *) echo "$$line";; esac; done <.env.example >.env

check: install  ## run ruff, mypy, import-linter and the plain tests; do so before each commit
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy $(PACKAGES)
	@.venv/bin/lint-imports
	@$(RUN) -m pytest -q -m "$(PLAIN)"

format: install  ## format the code and repair what ruff can
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

test: install  ## run every ring of tests but `containers` and `convergence`, with everything it needs (RING=...: one)
	@$(RUN) -m pytest $(PROCESSES) -m "$(SELECTED)"

bench-env:  ## make .venv-bench, with the libraries that the benchmarks compare with
	@$(PYTHON) -m deploy.install bench

bench: install bench-env  ## run every benchmark, one after another
	@for benchmark in benchmarks/bench_*.py; do echo "== $$benchmark"; OMP_NUM_THREADS= .venv-bench/bin/python $$benchmark || exit 1; done

lock: install  ## resolve requirements*.in anew into the locks
	@for name in requirements requirements-bench; do build/tools/uv-*/bin/uv pip compile $$name.in -o $$name.lock --python-version 3.11 \
		--no-annotate --no-header --generate-hashes --quiet || exit 1; done

clean: down  ## remove what running and building have left (var, build), but keep .venv
	@test ! -x $(RUN) || PIPELINE_HOME=var $(RUN) -m deploy.services remove
	rm -rf build var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

distclean: clean  ## remove the environments as well
	rm -rf .venv .venv-bench .venv-notebook
