# Everything sets itself up: the first target that is made creates .venv and installs into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/segzoo-*)
READY := $(VENV)/.ready
# A mask needs less than the tests do.
DEMO := $(VENV)/.demo
BROWSER := $(VENV)/.browser
# A distribution called segzoo is this one under its earlier name, or another program whose package is called segzoo
# too. Its files are removed before ours are installed: afterwards they would take ours along.
UNNAME := $(BIN)/python -m pip uninstall -qq --yes --disable-pip-version-check segzoo
# Two cores shared by tests in parallel and by torch's threads inside them would fight.
export OMP_NUM_THREADS ?= 1
# Containers often forbid to keep bytecode; then every process that a test starts compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs browse test fast campaign gpu lint format template clean

demo: $(DEMO)  ## segment a microscopy image with the shipped weights
	@$(BIN)/segzoo predict docs/images/nuclei.png --model unet-nuclei --out demo --overwrite
	@echo "the picture: $(CURDIR)/demo/nuclei_overlay.png"

docs: $(READY)  ## the documentation as a site; a warning is an error
	@$(BIN)/sphinx-build -W --keep-going -q -b html -d build/docs docs dist/docs
	@$(BIN)/sphinx-build -W --keep-going -q -b html -d build/docs-zh -D language=zh_CN docs dist/docs/zh
	@echo "the first page: $(CURDIR)/dist/docs/index.html"

browse: $(READY) $(BROWSER)  ## look at the site in a browser: at every page, if SEGZOO_EVERY_PAGE=1
	$(BIN)/python -m pytest tests/test_site_in_browser.py

test: $(READY) $(BROWSER)  ## every test
	$(BIN)/python -m pytest -n 2 --dist worksteal

fast: $(READY)  ## the tests that take a minute
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not medium"

campaign: $(READY)  ## fifty times as many hostile inputs and kills as the tests try; SEGZOO_CAMPAIGN_SEED=N tries others
	SEGZOO_CAMPAIGN=long $(BIN)/python -m tests.campaign
	SEGZOO_CAMPAIGN=long $(BIN)/python -m pytest -m hypothesis

gpu: $(READY)  ## every path that only a GPU takes, against the CPU, and its speed; tables for docs/guides/speed.md
	$(BIN)/python benchmarks/gpu.py

lint: $(READY)  ## style, types and the directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

template: $(READY)  ## write plugins/template anew
	$(BIN)/python -m segzoo.scaffold plugins/template
	$(BIN)/ruff format --check plugins/template

$(DEMO): pyproject.toml plugins/segzoo-medical/pyproject.toml
	@echo "installing segzoo, and PyTorch with it, into $(VENV): some minutes, once"
	@$(PYTHON) -m venv $(VENV)
	@$(UNNAME)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --editable ./plugins/segzoo-medical
	@touch $@

$(READY): pyproject.toml $(PLUGINS:=/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(UNNAME)
	$(BIN)/python -m pip install --quiet --group dev --editable ".[train]" $(addprefix --editable ./,$(PLUGINS))
	$(BIN)/pyright --version  # the first call fetches what the tests then need no network for
	@touch $(DEMO) $@

# What the tests of the site need beside Python. What cannot be had is told, and those tests alone are skipped.
$(BROWSER): $(READY) tests/browser_setup.py tests/browser/package-lock.json
	-$(BIN)/python -m pip install --quiet --group browser
	@$(BIN)/python tests/browser_setup.py && touch $@ || true

clean:
	rm -rf $(VENV) demo build dist
