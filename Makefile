# "make help" lists the targets. All packages are installed in .venv: see the end of this file.

PYTHON ?= python3
BIN := .venv/bin

# The longest first, because make starts them in this order.
NOTEBOOKS := $(wildcard notebooks/7_*.ipynb notebooks/6_*.ipynb notebooks/[48]_*.ipynb \
	notebooks/[!4678]_*.ipynb)
NAMES = $(basename $(notdir $(NOTEBOOKS)))

# Stops a target whose results are committed: they must not be made from the toy corpus.
NEED_GTZAN := $(BIN)/python -c "from gtzan_mfcc import dataset; \
	dataset.find_corpus() or exit('No GTZAN: run make data, or set GTZAN_DIR.')"

# A progress bar would stay in an executed notebook.
export TQDM_DISABLE := 1

# The last bits of what the CNN computes depend on the number of threads of TensorFlow. So it is
# fixed for all targets, and not the number of cores.
export TF_NUM_INTRAOP_THREADS ?= 2

.PHONY: help notebooks book test lowest browser snapshots pretrained bench mfcc peers mel-cnn data lab lint \
	lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 12

notebooks: .venv/installed  ## run the notebooks that are not up to date; results in build/notebooks
	+@$(call SIDE_BY_SIDE,results)
	@echo "The notebooks are in build/notebooks; to read them, open build/notebooks/book/index.html."

book: build/book/index.html  ## make a book of the notebooks in the repository
	@echo "Open $<."

test: .venv/dev  ## run the tests
	$(BIN)/python -m pytest

# .venv-lowest is made anew each time, because uv would keep a version that is there. Python 3.11 or
# 3.12 is needed: for newer ones, some of the lowest versions have no wheels.
lowest:  ## run the tests with the lowest versions that requirements.txt allows
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv --no-cache pip install --quiet --python .venv-lowest \
	  --resolution lowest-direct --extra browser -r pyproject.toml
	.venv-lowest/bin/python -m pip install --quiet --no-deps -e .
	.venv-lowest/bin/python -m pytest

browser: build/book/index.html .venv/browser  ## look at notebooks and book in Chromium; pictures in build/browser
	$(BIN)/python -m pytest -n 0 tests/browser

snapshots: .venv/installed  ## run the notebooks in place on GTZAN; rewrite snapshots/
	$(NEED_GTZAN)
	+@$(call SIDE_BY_SIDE,in-place)
	$(BIN)/python snapshots/fill_readme.py

# The lowest Keras that requirements.txt allows writes the file, because an older Keras cannot read
# the file of a newer one. The short clips beside the corpus are used if they are there.
pretrained: .venv/installed  ## train the model that comes with the package again, on GTZAN
	$(NEED_GTZAN)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target build/keras \
	  "$$(sed -n 's/^keras>=/keras==/p' requirements.txt)"
	set --; \
	if [ -n "$$GTZAN_DIR" ]; then set -- "$$GTZAN_DIR"; fi; \
	if [ -n "$$GTZAN_DIR" ] && [ -d "$$GTZAN_DIR/../clips" ]; then set -- "$$@" "$$1/../clips"; fi; \
	PYTHONPATH=build/keras $(BIN)/python -m gtzan_mfcc train "$$@" \
	  --facts gtzan_mfcc/tracks.csv --cache build/cache --output gtzan_mfcc/pretrained.keras

bench: .venv/dev  ## measure extraction and prediction (half an hour)
	$(BIN)/python tests/benchmarks/extraction.py
	$(BIN)/python tests/benchmarks/prediction.py

mfcc: .venv/dev  ## compare the time of MFCCs with that of other libraries (7 GB of packages)
	$(BIN)/python tests/benchmarks/mfcc.py

# Both go on where they stopped. With SNAPSHOTS_DIR=snapshots they write the committed files.
peers: .venv/dev .venv-musicnn/installed  ## compare features and classifiers (two hours)
	$(NEED_GTZAN)
	TF_CPP_MIN_LOG_LEVEL=3 .venv-musicnn/bin/python -W ignore \
	  tests/benchmarks/musicnn_features.py build/peers/musicnn.npz \
	  "$$($(BIN)/python -c 'from gtzan_mfcc import dataset; print(dataset.find_corpus())')"
	$(BIN)/python tests/benchmarks/peers.py build/peers/musicnn.npz

mel-cnn: .venv/dev  ## train a published CNN on mel spectrograms on our folds (four hours)
	$(NEED_GTZAN)
	$(BIN)/python tests/benchmarks/mel_cnn.py

# musicnn names packages that are too old for any Python of today. So it is installed without them.
.venv-musicnn/installed:
	@command -v python3.11 > /dev/null || { echo "musicnn needs Python 3.11: there is no" \
	  "python3.11." >&2; exit 1; }
	python3.11 -m venv .venv-musicnn
	.venv-musicnn/bin/python -m pip install --quiet \
	  tensorflow-cpu==2.15.1 librosa==0.10.2 'numpy<2' 'setuptools<80'
	.venv-musicnn/bin/python -m pip install --quiet --no-deps musicnn==0.1.0
	touch $@

data: .venv/installed  ## download GTZAN into data/ (over 1 GB, no account needed)
	TQDM_DISABLE= $(BIN)/python data/download.py

# In notebook 8, a file can be chosen on the page. The setting lets it have 100 MB instead of 10.
lab: .venv/installed  ## open the notebooks in Jupyter
	TQDM_DISABLE= $(BIN)/jupyter lab notebooks \
	  --ServerApp.tornado_settings='{"websocket_max_message_size": 100000000}'

lint: .venv/dev  ## check the style of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# Without --no-cache, uv would not notice a change of requirements.txt. "fewest" takes one version
# for all versions of Python where it can, so that the tests with one Python count for the others.
lock:  ## pin the newest versions in requirements.lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet uv
	build/lock/bin/uv --no-cache pip compile --quiet --universal --python-version 3.11 \
	  --fork-strategy fewest --extra browser --no-annotate --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file build/lock/requirements.lock pyproject.toml
	mv build/lock/requirements.lock requirements.lock

clean:  ## remove all that can be made again, but not data/
	rm -rf .venv .venv-lowest .venv-musicnn .venv.lock build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# The notebooks. Each is a target, so they run side by side, and one that fails does not stop the
# others. By default, as many run at once as there are cores, and 4 GB of memory for each. Two makes
# must not run notebooks in one folder at the same time, so make waits for a lock, and calls itself.
SIDE_BY_SIDE = mkdir -p build && $(BIN)/python $(LOCKED) build/notebooks.lock sh -c '\
	rm -rf build/running; \
	$(MAKE) --no-print-directory --keep-going \
	  $(if $(filter -j%,$(MAKEFLAGS)),,-j$(or $(JOBS),1)) $(1) || { \
	ls build/running/*.log > /dev/null 2>&1 && \
	  echo "Failed; what they wrote is in build/running:" $$(ls build/running) >&2; exit 1; }'
JOBS = $(shell $(BIN)/python -c "import joblib, os; \
	memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'); \
	print(max(1, min(joblib.cpu_count(), memory // (4 * 10**9))))")

RESULTS := $(NAMES:%=build/notebooks/%.ipynb)
IN_PLACE := $(NAMES:%=in-place/%)
.PHONY: results in-place $(IN_PLACE) FORCE
results: build/notebooks/book/index.html
in-place: $(IN_PLACE)

# With more threads of BLAS, notebook 6 takes half as much CPU time again. "in-place" has them, because
# the last bits of what a logistic regression computes depend on their number.
results: export OMP_NUM_THREADS ?= 1
in-place: export SNAPSHOTS_DIR := $(CURDIR)/snapshots

# Runs a notebook, which may take as long as it needs, and keeps no times, which differ from run to
# run. Without log_level, each kernel warns that its connection is not encrypted; it stays on this
# machine. The result is moved to the folder $(1) when it is complete.
RUN = echo "$*: running"; mkdir -p build/running $(1); \
	if $(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/running \
	  --ExecutePreprocessor.timeout=-1 --ExecutePreprocessor.record_timing=False \
	  --ExecutePreprocessor.extra_arguments=--IPKernelApp.log_level=ERROR \
	  $< > build/running/$*.log 2>&1; \
	then mv build/running/$*.ipynb $(1) || exit 1; rm build/running/$*.log; echo "$*: done"; \
	else cat build/running/$*.log; echo "$*: failed"; exit 1; fi

build/notebooks/%.ipynb: notebooks/%.ipynb $(wildcard gtzan_mfcc/*.*) .venv/installed build/corpus
	@$(call RUN,build/notebooks)

$(IN_PLACE): in-place/%: notebooks/%.ipynb .venv/installed
	@$(call RUN,notebooks)

# Makes the book with the notebooks of a folder. It gets its name when it is complete.
BOOK = echo "The book: running"; rm -rf $(@D).making && mkdir -p $(@D).making/source && \
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c book -D notebooks=$(abspath $(1)) \
	  -d $(@D).making/doctrees $(@D).making/source $(@D).making/html && \
	rm -rf $(@D) && mv $(@D).making/html $(@D) && rm -rf $(@D).making && echo "The book: done"
PAGES := $(wildcard book/*.* book/*/*/*.rst *.md data/*.md snapshots/*.* gtzan_mfcc/*.*)

build/book/index.html: $(wildcard notebooks/*.ipynb) $(PAGES) .venv/installed
	@$(call BOOK,notebooks)

build/notebooks/book/index.html: $(RESULTS) $(PAGES) .venv/installed
	@$(call BOOK,build/notebooks)

# Notebook 5 reads what notebook 4 has trained, and appendix B what notebook 7 has predicted. Notebook 9
# needs copies that notebook 7 makes, too, and appendix A needs folds that notebook 6 trains. So these two
# start later if both run.
build/notebooks/5_evaluation.ipynb: build/notebooks/4_cnn_training.ipynb
in-place/5_evaluation: $(filter in-place/4_cnn_training,$(IN_PLACE))
build/notebooks/B_real_recordings.ipynb: build/notebooks/7_robustness.ipynb
in-place/B_real_recordings: $(filter in-place/7_robustness,$(IN_PLACE))
build/notebooks/9_model_card.ipynb: | $(filter build/notebooks/7_robustness.ipynb,$(RESULTS))
in-place/9_model_card: | $(filter in-place/7_robustness,$(IN_PLACE))
build/notebooks/A_models_compared.ipynb: | $(filter build/notebooks/6_leakage.ipynb,$(RESULTS))
in-place/A_models_compared: | $(filter in-place/6_leakage,$(IN_PLACE))

# This file lists the corpus. It is written only if the list changes, and then all notebooks run.
build/corpus: .venv/installed FORCE
	@$(BIN)/python -c "from gtzan_mfcc import dataset; corpus = dataset.find_corpus(); \
	  files = [*corpus.rglob('*'), *corpus.parent.glob('*.csv'), \
	    *corpus.parent.glob('clips/**/*'), *corpus.parent.glob('rerecorded/**/*'), \
	    *corpus.parent.glob('outside/**/*')] if corpus else []; \
	  print(corpus, *sorted((str(file), file.lstat().st_mtime_ns) for file in files))" > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# Calls a program when no other process has the lock on a file.
define LOCK
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.set_inheritable(lock, True)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Waiting for another make in this folder.", flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)
os.execvp(sys.argv[2], sys.argv[2:])
endef
export LOCK
LOCKED := -c "$$LOCK"

# The packages. Three empty files say what is installed in .venv: .venv/installed what the notebooks
# and the book need, .venv/dev the tools for tests as well, .venv/browser also what tests/browser
# needs.
#
# If make runs twice at the same time, both must not install into .venv. So make waits for a lock,
# and then calls itself with HAS_LOCK=1. That second make sees what is left to do: nothing, if the
# other run has done it in the meantime.
ifndef HAS_LOCK

# Python 3.14 is too new: the TensorFlow of requirements.lock has no wheels for it.
.venv/%: requirements.txt requirements.lock pyproject.toml
	@command -v $(firstword $(PYTHON)) > /dev/null || { echo "There is no $(PYTHON):" \
	  "install Python 3.13, or name one that is there: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
	  'Python 3.11, 3.12 or 3.13 is needed, not %d.%d: say make PYTHON=python3.13' % v)"
	@$(PYTHON) $(LOCKED) .venv.lock $(MAKE) --no-print-directory HAS_LOCK=1 $@

else

# Installs the package with the extras $(1), and makes the empty file. Python compiles modules when
# they are first imported, because to compile all of them here takes long.
INSTALL = echo "Installing packages into .venv: a few minutes."; \
	$(BIN)/python -m pip install --quiet --no-compile -c requirements.lock -e '.$(1)' \
	  && touch $@ || { \
	  echo "pip could not install the packages; the lines above say why." \
	  "It needs a network, and 4 GB of disk space." >&2; exit 1; }

.venv/installed: requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -m venv .venv
	@$(call INSTALL,[book])

.venv/dev: .venv/installed
	@$(call INSTALL,[dev])

.venv/browser: .venv/dev
	@$(call INSTALL,[browser])

endif
