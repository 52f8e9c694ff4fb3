PYTHON ?= python3
BIN := .venv/bin
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
EXECUTE := $(BIN)/jupyter nbconvert --to notebook --execute \
	--ExecutePreprocessor.timeout=-1 --ExecutePreprocessor.record_timing=False
# A progress bar leaves its traces in an executed notebook.
export TQDM_DISABLE := 1
# What is committed must not be made from the toy corpus.
NEED_GTZAN := $(BIN)/python -c "from gtzan_mfcc import dataset; \
	dataset.find_corpus() or exit('No GTZAN: run make data, or set GTZAN_DIR.')"

.PHONY: help notebooks test snapshots pretrained bench data lab lint clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 12

notebooks: .venv/installed  ## run every notebook; results in build/notebooks
	$(EXECUTE) --output-dir build/notebooks $(NOTEBOOKS)
	$(BIN)/jupyter nbconvert --to html $(patsubst notebooks/%,build/notebooks/%,$(NOTEBOOKS))

test: .venv/dev  ## run the tests
	$(BIN)/python -m pytest

snapshots: .venv/installed  ## run the notebooks in place on GTZAN; rewrite snapshots/
	$(NEED_GTZAN)
	SNAPSHOTS_DIR="$(CURDIR)/snapshots" $(EXECUTE) --inplace $(NOTEBOOKS)
	$(BIN)/python -c "import json; from pathlib import Path; from gtzan_mfcc import snapshots; \
	readme, results = Path('README.md'), Path('snapshots/results.json'); \
	readme.write_text(snapshots.fill_in(readme.read_text(), json.loads(results.read_text())))"

pretrained: .venv/installed  ## train the model that comes with the package anew, on GTZAN
	$(NEED_GTZAN)
	$(BIN)/python -m gtzan_mfcc train --output gtzan_mfcc/pretrained.keras

bench: .venv/dev  ## measure extraction, training and prediction (half an hour)
	$(BIN)/python tests/benchmarks/extraction.py
	$(BIN)/python tests/benchmarks/training.py
	$(BIN)/python tests/benchmarks/prediction.py

data: .venv/installed  ## download GTZAN into data/ (over 1 GB, no account needed)
	TQDM_DISABLE= $(BIN)/python -c "from gtzan_mfcc import dataset; print(dataset.download())"

lab: .venv/installed  ## open the notebooks in Jupyter
	TQDM_DISABLE= $(BIN)/jupyter lab notebooks

lint: .venv/dev  ## check the style of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

clean:  ## remove all that can be made again, but not data/
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt -e .
	touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@
