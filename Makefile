# make demo, test, lint, fuzz, mutants, speed, screenshots, notebooks: each sets up .venv by itself when it is missing.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test fuzz lint format speed notebooks mutants screenshots
demo: $(INSTALLED)
	$(BIN)/gutseg demo

# -m "" undoes the `not slow` of pyproject.toml: this is the complete suite. One process per core
# with one thread each: the tensors of the tests are too small for a second thread.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "" -n auto --dist worksteal

# 5,000 broken inputs to every verb (half an hour on one core); one of them again: --seed N
fuzz: $(INSTALLED)
	$(BIN)/python -m tests.fuzz --cases 5000

lint: $(INSTALLED)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# Times and memory beside other libraries, about twenty minutes; `gutseg bench` compares losses.
speed: $(INSTALLED)
	$(BIN)/pip install --quiet -e '.[speed]'
	$(BIN)/python -m benchmarks --out build/speed

# docs/images/report_*.png, of the demo's phantom; needs chromium
screenshots: $(INSTALLED)
	test -f demo/report/report.html || $(BIN)/gutseg demo
	$(BIN)/python -m benchmarks.screenshots demo/report/report.html

# kernels/*/*.ipynb, from the scripts beside them
notebooks: $(INSTALLED)
	$(BIN)/python -m gutseg.kaggle.notebook

# make mutants FILES="masks/rle metrics/slice_boxes.py" SAMPLE=1000: those files alone, every mutant
SAMPLE := 40
mutants: $(INSTALLED)
	$(BIN)/pip install --quiet -e '.[mutants]'
	$(BIN)/python -m tests.mutants --sample $(SAMPLE) $(FILES)

$(INSTALLED): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "gutseg needs Python 3.11 or 3.12 on the PATH" >&2; exit 1; }
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@
