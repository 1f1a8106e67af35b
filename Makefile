# One command starts the app, one runs the tests; both install what they need into .venv.
PYTHON ?= python3
BIN := .venv/bin
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --silent
NUMERICS := attention baselines context convolution derivatives dtypes maps mixing model muon polarity spectral trace training
# Tests run in two processes: those with a browser in one of them, one after the other, and each file as a whole.
IN_TWO := -n 2 --dist loadgroup --no-loadscope-reorder

.PHONY: app test test-avx2 check clean

app: .venv/app.stamp
	$(BIN)/python app.py

test: .venv/dev.stamp
	$(BIN)/python tests/browser.py
	$(BIN)/node --test 'tests/js/*.test.js'
	$(BIN)/python -m pytest $(IN_TWO)

# Again what computes with torch, as on a CPU without AVX-512, where oneDNN lacks some operations.
test-avx2: .venv/dev.stamp
	ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest $(IN_TWO) $(addprefix tests/test_,$(addsuffix .py,$(NUMERICS)))

check: .venv/dev.stamp node_modules/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(NPM) run check

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv .venv

# torch and torchvision are resolved together, in one call: torchvision's wheels need the torch they were built for.
.venv/app.stamp: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/dev.stamp: requirements.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet -r requirements.txt -e '.[dev]'
	touch $@

# Node and npm come as a Python package. What npm installs checks the scripts of the views; none of it ships.
node_modules/.stamp: package.json package-lock.json | .venv/dev.stamp
	$(NPM) ci --ignore-scripts
	touch $@

clean:
	rm -rf .venv node_modules build *.egg-info
