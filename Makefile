# Two commands do everything: `make book` and `make test`. `make help` lists the rest.
# Each of them first makes .venv and installs from PyPI, once.

VENV  ?= .venv
BIN    = $(VENV)/bin
STAMP  = $(VENV)/.installed
# the first interpreter on the path that is Python 3.11 to 3.13
SUITED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11 python; do \
	$$p -c '$(SUITED)' >/dev/null 2>&1 && { echo $$p; break; }; done)
# what the commands take: make book BUDGET=smoke, make book ARGS="--only 00_tour", make test ARGS="-k faces"
BUDGET ?= laptop
ARGS   ?=

.PHONY: book slides pdf api test test-slurm snakemake lab install lint format help clean
.DEFAULT_GOAL := help

book: $(STAMP) ## run every chapter and build the HTML
	$(BIN)/fau book --budget $(BUDGET) $(ARGS)

slides: $(STAMP) ## a deck for each chapter, in build/slides, from the built book
	$(BIN)/fau course slides build/slides

pdf: $(STAMP) ## the book as build/fau-book.pdf, from the built book; needs xelatex
	$(BIN)/fau course pdf build

api: $(STAMP) ## the book with a reference of the code, to which chapters link; takes some minutes more
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "sphinx-autoapi>=3.4"
	FAU_API=1 $(BIN)/fau book --budget $(BUDGET) $(ARGS)

test: $(STAMP) ## run the whole test suite, lint and the floors contract included
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

# Snakemake wants an older packaging than constraints.txt pins, so it has an environment of its own.
snakemake: $(STAMP) ## what fau bench run --executor slurm needs, in .venv-snakemake
	test -x $(VENV)-snakemake/bin/snakemake || { $(PYTHON) -m venv $(VENV)-snakemake && \
		$(VENV)-snakemake/bin/python -m pip install --quiet "snakemake>=9.27,<10" "snakemake-executor-plugin-slurm>=1.4"; }

test-slurm: snakemake ## benchmark cells on a real SLURM of two nodes (root; apt install slurmctld slurmd slurm-client munge)
	FAU_TEST_SLURM=1 FAU_SNAKEMAKE=$(VENV)-snakemake/bin/snakemake $(BIN)/python -m pytest tests/bench/test_slurm.py \
		tests/bench/test_clusters.py $(ARGS)

lab: $(STAMP) ## open the chapters in JupyterLab
	$(BIN)/jupyter lab notebooks

install: $(STAMP) ## only make .venv
	@echo "To call fau, once in each shell: . $(BIN)/activate"

lint: $(STAMP) ## ruff and the floors contract
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

format: $(STAMP) ## format the code and regenerate the .ipynb of every chapter
	$(BIN)/ruff check --fix-only . && $(BIN)/ruff format . && $(BIN)/fau pair

clean: ## remove what was built (not .venv, not your results)
	rm -rf build

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none is on the path: install one, or say make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -c '$(SUITED)' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: say make PYTHON=/path/to/python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { echo "no virtual environment could be made: on Debian and Ubuntu, apt install python3-venv" >&2; rm -rf $(VENV); exit 2; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "Installing from PyPI; with torch this is 5 to 6 GB on Linux and takes a few minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,dev]"
	@touch $@
	@echo "Installed. To call fau, once in each shell: . $(BIN)/activate"
