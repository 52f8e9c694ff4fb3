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

.PHONY: help notebooks test snapshots pretrained bench peers data lab lint lock clean
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
	$(BIN)/python snapshots/fill_readme.py

pretrained: .venv/installed  ## train the model that comes with the package anew, on GTZAN
	$(NEED_GTZAN)
	$(BIN)/python -m gtzan_mfcc train $(GTZAN_DIR) $(wildcard $(GTZAN_DIR:%=%/../clips)) \
	  --output gtzan_mfcc/pretrained.keras

bench: .venv/dev  ## measure extraction and prediction (half an hour)
	$(BIN)/python tests/benchmarks/extraction.py
	$(BIN)/python tests/benchmarks/prediction.py

peers: .venv/dev  ## train the networks of others on our folds (two hours)
	$(BIN)/python tests/benchmarks/peers.py

data: .venv/installed  ## download GTZAN into data/ (over 1 GB, no account needed)
	TQDM_DISABLE= $(BIN)/python data/download.py

lab: .venv/installed  ## open the notebooks in Jupyter
	TQDM_DISABLE= $(BIN)/jupyter lab notebooks

lint: .venv/dev  ## check the style of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# Without --no-cache, uv would not notice a change of requirements.txt. One version for every Python
# where there is one (fewest): what passes with one Python is then what the others get.
lock:  ## pin the newest versions anew in requirements.lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv
	build/lock/bin/uv --no-cache pip compile --quiet --universal --python-version 3.11 \
	  --fork-strategy fewest --extra dev --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file build/lock/requirements.lock pyproject.toml
	mv build/lock/requirements.lock requirements.lock

clean:  ## remove all that can be made again, but not data/
	rm -rf .venv .venv.lock build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Should make run twice at once, one of them makes .venv; the other waits, and then looks again.
# TensorFlow of requirements.lock has no wheels for Python 3.14.
ifndef ALONE
.venv/%: requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
	'Python 3.11, 3.12 or 3.13 is needed, not %d.%d: say make PYTHON=python3.13' % v)"
	@$(PYTHON) -c "import fcntl, subprocess, sys; lock = open('.venv.lock', 'w'); \
	fcntl.flock(lock, fcntl.LOCK_EX); sys.exit(subprocess.call(sys.argv[1:]))" \
	$(MAKE) --no-print-directory ALONE=1 $@
else
.venv/installed: requirements.txt requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[av]'
	touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[dev]'
	touch $@
endif
