# Every target sets up .venv first, on a machine that has only make and a Python.
#
#   make demo                       explain eight generated images; writes a PNG
#   make test                       lint, types, import contract, quick tests
#   make slow                       the tests that need minutes or the data folder
#   make docs                       the site, in site/; warnings are errors; looked at in a browser
#   make dist                       wheel and sdist in dist/, checked, and the wheel tried
#   make lowest                     quick tests with the lowest supported versions
#   make demo EXTRAS=tensorflow,dev another TensorFlow than tensorflow-cpu
#   make test WORKERS=0             all tests in one process
#   make bench                      measure; writes benchmarks/RESULTS.md (an idle half hour)
#   make bench-peers                environments of zennit, captum and iNNvestigate, to compare with
#   make bench-peers TORCH="torch --index-url https://download.pytorch.org/whl/cpu"

VENV    ?= .venv
WORKERS ?= 2
EXTRAS  ?= cpu,dev
TORCH   ?= torch
PYTHON311 ?= python3.11

BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info)
# Run each candidate, do not only look for it: a version manager's shim exists for absent versions.
PYTHON  ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
PYTEST  := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL := 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help venv demo test slow lint format docs dist lowest lowest-environment quick coverage \
	bench bench-peers clean
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

venv: $(STAMP)

# Debian packs ensurepip apart from Python; without it, the pip outside installs the one inside.
# A TensorFlow that is already in $(VENV) stays: the packages named tensorflow* overwrite each other.
$(STAMP): pyproject.toml
	@python="$(PYTHON)"; test -n "$$python" || { \
	    echo "lrpkeras needs Python 3.11 or newer, and none was found as python3.13, python3.12," \
	         "python3.11 or python3. Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; }; \
	$$python -c '$(SUPPORTED)' || { echo "$$python is older than Python 3.11" >&2; exit 1; }; \
	echo "Setting up $(VENV) with $$python"; \
	if $$python -c 'import ensurepip' 2>/dev/null; then $$python -m venv $(VENV); \
	else $$python -m venv --without-pip $(VENV) \
	    && $$python -m pip --python $(BIN)/python install --quiet pip; fi
	@extras="$(EXTRAS)"; \
	if $(BIN)/python -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("tensorflow"))'; \
	then extras=dev; fi; \
	echo "Installing .[$$extras]"; \
	$(BIN)/python -m pip install --quiet --editable ".[$$extras]"
	@touch $@

demo: $(STAMP)
	$(BIN)/lrpkeras demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	$(PYTEST) -m "not slow and not reference"

# Exit status 5: no test carries the marks.
slow: $(STAMP)
	$(PYTEST) -m "slow or reference" || test $$? -eq 5

# mkdocs-material tells of its successor at every build unless told not to.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.installed-docs
	$(BIN)/python -m mkdocs build --strict
	$(PYTEST) tests/docs/test_site.py

$(VENV)/.installed-docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	@touch $@

# As a user gets it: built in an environment of its own, installed in a clean one for each Python.
PYTHONS ?= $(shell for python in python3.11 python3.12 python3.13; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python; done; true)
dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python release/try_wheel.py dist/*.whl --python $(PYTHONS)

# The lowest versions that pyproject.toml allows, in an environment of their own: what reads Keras and
# TensorFlow or is compiled. Formulas, measures, pictures, pages and what is made of maps are as they
# are: APART= adds them.
APART := rules evaluate experiments docs report peers test_benchmarks.py test_unit_start.py \
	test_notebooks.py test_plot.py test_colours.py test_heatmaps.py test_grids.py test_sheet.py \
	test_pictures.py test_titles.py test_series.py test_volume.py test_tokens.py test_flow.py \
	test_stages_of_relevance.py test_explore.py test_samples_below.py test_comparison.py \
	test_card.py test_views.py test_pixels.py test_montage.py test_demo.py test_cli.py \
	test_cli_commands.py test_jobs.py test_quantus.py test_presets.py test_identities.py
lowest:
	$(MAKE) --no-print-directory lowest-environment quick VENV=.venv-lowest EXTRAS=dev \
	    IGNORED="$(APART:%=--ignore=tests/%)"

lowest-environment:
	@test -x $(BIN)/python || { $(firstword $(PYTHON)) -m venv $(VENV) \
	    && $(BIN)/python -m pip install --quiet "tensorflow-cpu==2.19.*" "keras==3.12.*"; }

quick: $(STAMP)
	$(PYTEST) -m "not slow and not reference" $(IGNORED)

coverage: $(STAMP)
	$(PYTEST) -m "not slow and not reference" --cov

# On an idle machine: about half an hour. Peers take part where `make bench-peers` has been.
# TensorFlow turns oneDNN on by itself only where the processor has AVX512-VNNI or later; with AVX2
# alone its gradients take twice the time without. torch has it on everywhere.
bench: export TF_ENABLE_ONEDNN_OPTS := 1
bench: $(STAMP)
	$(BIN)/python -m benchmarks.run --anew --json benchmarks/results.json

# zennit asks for torchvision, of which it needs nothing here; iNNvestigate for less than Python 3.11.
bench-peers: .venv-peers/.installed .venv-innvestigate/.installed

.venv-peers/.installed:
	$(firstword $(PYTHON)) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet $(TORCH)
	.venv-peers/bin/python -m pip install --quiet --no-deps "zennit==0.5.1" "captum==0.9.0"
	.venv-peers/bin/python -m pip install --quiet numpy pillow click tqdm matplotlib packaging
	@touch $@

.venv-innvestigate/.installed:
	$(PYTHON311) -m venv .venv-innvestigate
	.venv-innvestigate/bin/python -m pip install --quiet "tensorflow-cpu==2.14.1" \
	    future matplotlib pillow
	.venv-innvestigate/bin/python -m pip install --quiet --no-deps --ignore-requires-python \
	    "innvestigate==2.1.2"
	@touch $@

clean:
	rm -rf $(VENV) .venv-lowest .venv-peers .venv-innvestigate site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
	    .hypothesis .coverage
