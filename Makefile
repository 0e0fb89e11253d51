# The interpreter that .venv is made from; without PYTHON=, the one that the present .venv was made from.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell cat .venv/.made_from 2>/dev/null || echo python3)
endif

VENV_PYTHON = .venv/bin/python
STAMP = .venv/.installed
SECONDS = 60
HOURS = 1
KILLS = 50
FUZZ_SECONDS = 60
WORKERS = 2
WIDGET_TESTS = tests/lab tests/viz

# No display, no browser to open: the address is printed either way. JupyterLab asks root for a flag of its own.
LAB_FLAGS = --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks \
  $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,--no-browser) \
  $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup lab test test-colab test-browser train bench soak fuzz voila outputs check links atlas clinic paper generators clean remake

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## only install: .venv with the tested versions (PYTHON=/path/to/python picks the interpreter)

lab: $(STAMP) ## open JupyterLab on the notebooks; prints its address
	@$(VENV_PYTHON) -m jupyterlab $(LAB_FLAGS) $(LAB_ARGS)

test: $(STAMP) ## run the unit tests, then every notebook, in two processes each (WORKERS=2)
	$(VENV_PYTHON) -m pytest -n $(WORKERS)
	$(VENV_PYTHON) -m pytest -n $(WORKERS) --nbval-lax notebooks/ app/

test-colab: $(STAMP) ## run the tests of the widgets with the Jupyter packages that Colab ships
	@$(VENV_PYTHON) tools/colab_env.py
	.venv-colab/bin/python -m pytest $(WIDGET_TESTS)

test-browser: $(STAMP) ## use notebooks 00, 07 and 08 in a real browser (Chromium)
	@$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt playwright || true
	@$(VENV_PYTHON) tools/browser_test.py

voila: $(STAMP) ## serve the live lab as an app, for a classroom (VOILA_ARGS=--Voila.ip=0.0.0.0 opens it to the network)
	@$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt voila
	@$(VENV_PYTHON) -m voila app/live_lab.ipynb --no-browser --Voila.ip=127.0.0.1 $(VOILA_ARGS)

train: $(STAMP) ## train without a browser on the embedded faces (SECONDS=60) and name the pictures it left
	$(VENV_PYTHON) -m dcgan_lib train --preset laptop --data faces --seconds $(SECONDS)

bench: $(STAMP) ## measure speed on MNIST below DCGAN_DATA; writes benchmarks/RESULTS.md (GPU=1 takes the GPU)
	@$(VENV_PYTHON) -m benchmarks.bench --device $(if $(GPU),cuda,cpu)

outputs: $(STAMP) ## run changed notebooks and store what they show (NB="03 04" picks some, NB=--all takes all)
	@$(VENV_PYTHON) -m tools.notebooks outputs $(NB)

check: $(STAMP) ## look for stale outputs, broken notebook rules and unsafe code, without running anything
	@$(VENV_PYTHON) -m tools.notebooks check
	@$(VENV_PYTHON) -m ruff check --quiet .

links: $(STAMP) ## point every link at your repository: make links REPO=owner/name
	@$(VENV_PYTHON) -m tools.notebooks links "$(REPO)"
	@touch $(STAMP) # pyproject.toml has changed, what it installs has not

generators: $(STAMP) ## train the generators of assets/generators again, from nothing (an hour and a half on one core)
	@$(VENV_PYTHON) -m benchmarks.generators

fuzz: SECONDS = 10
fuzz: $(STAMP) ## feed each loader and the command line with changed files (SECONDS=10 for each)
	$(VENV_PYTHON) benchmarks/fuzz.py --seconds $(SECONDS)

atlas: $(STAMP) ## make the lr x beta1 atlas of notebook 07 again (three quarters of an hour on one core)
	$(VENV_PYTHON) -m benchmarks.atlas

clinic: $(STAMP) ## record the sick runs of notebook 09 again (an hour and a half on one core)
	$(VENV_PYTHON) -m benchmarks.clinic

paper: $(STAMP) ## measure the paper's tables for notebook 10 again (an hour and a half on one core; MNIST and CIFAR-10 below DCGAN_DATA)
	$(VENV_PYTHON) -m benchmarks.paper $(PAPER_ARGS)

soak: $(STAMP) ## kill runs, fuzz each loader for a minute, let the live lab train for an hour (HOURS=1 KILLS=50 FUZZ_SECONDS=60)
	$(VENV_PYTHON) benchmarks/soak.py --hours $(HOURS) --kills $(KILLS) --fuzz-seconds $(FUZZ_SECONDS)

clean: ## remove .venv and caches; data/ and runs/ stay
	rm -rf .venv .venv-colab .pytest_cache .ruff_cache *.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +

# The version is asked here, because an old Python cannot even read the script.
$(STAMP): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo 'There is no "$(PYTHON)" here: install Python 3.11 or newer, or name one with PYTHON=/path/to/python.'; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d and 3.11 is needed: install a newer one, or name it with PYTHON=/path/to/python." % sys.version_info[:2])'
	@"$(PYTHON)" tools/make_venv.py "$(PYTHON)"

# Another interpreter than the one that .venv was made from: make it anew.
ifneq ($(shell cat .venv/.made_from 2>/dev/null || echo "$(PYTHON)"),$(PYTHON))
$(STAMP): remake
endif
