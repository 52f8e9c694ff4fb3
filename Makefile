PYTHON ?= python3
BIN := .venv/bin
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
# Without log_level, each kernel warns that its connection, which stays on this machine, is plain.
EXECUTE := $(BIN)/jupyter nbconvert --to notebook --execute \
	--ExecutePreprocessor.timeout=-1 --ExecutePreprocessor.record_timing=False \
	--ExecutePreprocessor.extra_arguments=--IPKernelApp.log_level=ERROR
# A progress bar leaves its traces in an executed notebook.
export TQDM_DISABLE := 1
# What is committed must not be made from the toy corpus.
NEED_GTZAN := $(BIN)/python -c "from gtzan_mfcc import dataset; \
	dataset.find_corpus() or exit('No GTZAN: run make data, or set GTZAN_DIR.')"

# Makes pages of the notebooks $(2) in the folder $(1), which is two levels deep like build/notebooks.
PAGES = $(BIN)/jupyter nbconvert --log-level=ERROR --to html --output-dir $(1) $(2) && \
	$(BIN)/python -c "$$MEND" $(patsubst %.ipynb,$(1)/%.html,$(notdir $(2)))
# Links lead from page to page; long lines of code are not cut off, on a narrow screen too.
define MEND
import pathlib, re, sys
style = """<style>main { max-width: 1000px; margin: auto } .jp-InputArea-editor { overflow-x: auto }
p code, li code { white-space: break-spaces !important; overflow-wrap: anywhere }
@media (max-width: 760px) { .jp-InputArea .jp-InputArea-editor,
.jp-OutputArea-child .jp-OutputArea-output { display: block; width: auto } }</style></head>"""
for page in map(pathlib.Path, sys.argv[1:]):
    html = page.read_text(encoding="utf-8").replace("</head>", style, 1)
    html = re.sub(r'href="([\w-]+)\.ipynb', r'href="\1.html', html)
    page.write_text(re.sub(r'(href|src)="\.\./', r'\1="../../', html), encoding="utf-8")
endef
export MEND

.PHONY: help notebooks test lowest browser snapshots pretrained bench peers data lab lint lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */\1\t/' | expand -t 12

notebooks: .venv/installed  ## run every notebook; results in build/notebooks
	$(EXECUTE) --output-dir build/notebooks $(NOTEBOOKS)
	$(call PAGES,build/notebooks,$(NOTEBOOKS:%=build/%))

test: .venv/dev  ## run the tests
	$(BIN)/python -m pytest

# Made anew each time, because uv keeps a version that is there. --no-cache as for make lock.
# For newer versions of Python than 3.12, some of the lowest versions have no wheels.
lowest:  ## run the tests with the lowest versions that requirements.txt allows
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv --no-cache pip install --quiet --python .venv-lowest \
	  --resolution lowest-direct --extra browser -r pyproject.toml
	.venv-lowest/bin/python -m pip install --quiet --no-deps -e .
	.venv-lowest/bin/python -m pytest

browser: .venv/browser  ## run the notebooks in JupyterLab, in Chromium; pictures in build/browser
	$(call PAGES,build/browser,$(NOTEBOOKS))
	$(BIN)/python -m pytest -n 0 tests/browser

snapshots: .venv/installed  ## run the notebooks in place on GTZAN; rewrite snapshots/
	$(NEED_GTZAN)
	SNAPSHOTS_DIR="$(CURDIR)/snapshots" $(EXECUTE) --inplace $(NOTEBOOKS)
	$(BIN)/python snapshots/fill_readme.py

# With the lowest Keras that requirements.txt allows, because no older Keras could read the file.
pretrained: .venv/installed  ## train the model that comes with the package again, on GTZAN
	$(NEED_GTZAN)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/keras \
	  "$$(sed -n 's/^keras>=/keras==/p' requirements.txt)"
	clips="$${GTZAN_DIR:+$$GTZAN_DIR/../clips}"; test -d "$$clips" || clips=; \
	PYTHONPATH=build/keras $(BIN)/python -m gtzan_mfcc train $${GTZAN_DIR:+"$$GTZAN_DIR"} \
	  $${clips:+"$$clips"} --facts gtzan_mfcc/tracks.csv --cache build/cache \
	  --output gtzan_mfcc/pretrained.keras

bench: .venv/dev  ## measure extraction and prediction (half an hour)
	$(BIN)/python tests/benchmarks/extraction.py
	$(BIN)/python tests/benchmarks/prediction.py

peers: .venv/dev  ## train the networks of others on our folds (two hours)
	$(BIN)/python tests/benchmarks/peers.py

data: .venv/installed  ## download GTZAN into data/ (over 1 GB, no account needed)
	TQDM_DISABLE= $(BIN)/python data/download.py

# Notebook 8 takes a file that is chosen on the page; by default, up to 10 MB.
LARGE_FILES := --ServerApp.tornado_settings='{"websocket_max_message_size": 100000000}'
lab: .venv/installed  ## open the notebooks in Jupyter
	TQDM_DISABLE= $(BIN)/jupyter lab notebooks $(LARGE_FILES)

lint: .venv/dev  ## check the style of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# Without --no-cache, uv would not notice a change of requirements.txt. One version for every Python
# where there is one (fewest): what passes with one Python is then what the others get.
lock:  ## pin the newest versions in requirements.lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv
	build/lock/bin/uv --no-cache pip compile --quiet --universal --python-version 3.11 \
	  --fork-strategy fewest --extra browser --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file build/lock/requirements.lock pyproject.toml
	mv build/lock/requirements.lock requirements.lock

clean:  ## remove all that can be made again, but not data/
	rm -rf .venv .venv-lowest .venv.lock build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# If make runs twice at the same time, one process makes .venv, and the other waits for it.
# TensorFlow of requirements.lock has no wheels for Python 3.14.
ifndef ALONE
.venv/%: requirements.txt requirements.lock pyproject.toml
	@command -v $(firstword $(PYTHON)) > /dev/null || { echo "There is no $(PYTHON):" \
	"install Python 3.13, or name one that is there: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
	'Python 3.11, 3.12 or 3.13 is needed, not %d.%d: say make PYTHON=python3.13' % v)"
	@touch .venv.lock
	@$(PYTHON) -c "import fcntl, subprocess, sys; lock = open('.venv.lock', 'w'); \
	fcntl.flock(lock, fcntl.LOCK_EX); sys.exit(subprocess.call(sys.argv[1:]))" \
	$(MAKE) --no-print-directory ALONE=1 $@
else
INSTALL = echo "Installing packages into .venv: a few minutes."; \
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.$(1)' && touch $@ || { \
	echo "pip could not install the packages; the lines above say why." \
	"It needs a network, and 4 GB of disk space." >&2; exit 1; }

.venv/installed: requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -m venv .venv
	@$(call INSTALL,)

.venv/dev: .venv/installed
	@$(call INSTALL,[dev])

.venv/browser: .venv/dev
	@$(call INSTALL,[browser])
endif
