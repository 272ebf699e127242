# make mar · make serve · make stop · make check · make test — `make help` says more.
PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/customs.yaml
# The CPU build where the package index has one; with TORCH_INDEX=https://download.pytorch.org/whl/cpu anywhere.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
# For `make compare`, `make bench-model` and `make soak`: more of their options, such as ARGS="--texts titles.csv --peers mosec,marwright".
ARGS ?=
VENV_COMPARE ?= .venv-compare
# How many tests run side by side.
TEST_WORKERS ?= 2

BIN := $(VENV)/bin
MARWRIGHT := $(BIN)/marwright
SIDE_BY_SIDE := $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --progress-bar off

.PHONY: help mar serve stop check test lint clean compare bench-model soak

help:
	@echo "make mar                       build model_store/pt_classifier.mar (configs/customs.yaml)"
	@echo "make mar CONFIG=FILE.yaml      build another model"
	@echo "make serve, make stop          start and stop TorchServe on the model store"
	@echo "make check                     linting, types and the quick tests: about a minute and a half"
	@echo "make test                      linting, types and every test: about a quarter of an hour"
	@echo "make compare                   measure other servers beside marwright's (about half an hour)"
	@echo "make bench-model               measure other runtimes beside marwright's module"
	@echo "make soak                      kill, overload, attack and watch a served archive (about 22 minutes)"
	@echo "make clean                     remove runs and caches; archives and .venv stay"

mar: $(VENV)/.installed
	@$(MARWRIGHT) build $(CONFIG)

serve: $(VENV)/.installed
	@$(MARWRIGHT) serve --properties configs/config.properties

stop: $(VENV)/.installed
	@$(MARWRIGHT) stop

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

check: lint
	@$(SIDE_BY_SIDE) tests/unit -m "not slow"

# What measures time has the machine for itself, first: the last lines are then those of nearly all tests.
test: lint
	@status=0; $(BIN)/python -m pytest -m alone || status=$$?; $(SIDE_BY_SIDE) || status=$$?; exit $$status

compare: $(VENV_COMPARE)/.installed-compare
	@PYTHONPATH=scripts/benchmarks $(VENV_COMPARE)/bin/python -m compare $(ARGS)

bench-model: $(VENV_COMPARE)/.installed-compare
	@$(VENV_COMPARE)/bin/python scripts/benchmarks/bench_model.py $(ARGS)

soak: $(VENV)/.installed-dev
	@PYTHONPATH=tests:tests/support $(BIN)/python -m soak $(ARGS)

clean:
	rm -rf runs .pytest_cache .mypy_cache .ruff_cache .marwright

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing marwright and what it needs into $(VENV) (about a minute, once)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	@$(PIP) -c constraints.txt -e ".[quickstart,java]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the test tools"
	@$(PIP) -c constraints.txt -e ".[quickstart,java,dev]"
	@touch $@

$(VENV_COMPARE)/.installed-compare: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory VENV=$(VENV_COMPARE) $(VENV_COMPARE)/.installed
	@echo "installing the other servers and runtimes into $(VENV_COMPARE) (a few minutes, once)"
	@$(VENV_COMPARE)/bin/python scripts/benchmarks/compare/install.py
	@touch $@
