# The interpreter that .venv is made from; without PYTHON=, the one that the present .venv was made from.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell cat .venv/.made_from 2>/dev/null || echo python3)
endif

VENV_PYTHON = .venv/bin/python
STAMP = .venv/.installed
SECONDS = 60

# No display, no browser to open: the address is printed either way. JupyterLab asks root for a flag of its own.
LAB_FLAGS = --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks \
  $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,--no-browser) \
  $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup lab test train outputs check links clean remake

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## only install: .venv with the tested versions (PYTHON=/path/to/python picks the interpreter)

lab: $(STAMP) ## open JupyterLab on the notebooks; prints its address
	@$(VENV_PYTHON) -m jupyterlab $(LAB_FLAGS) $(LAB_ARGS)

test: $(STAMP) ## run the unit tests, then every notebook
	$(VENV_PYTHON) -m pytest
	$(VENV_PYTHON) -m pytest --nbval-lax notebooks/

train: $(STAMP) ## train without a browser on the embedded faces (SECONDS=60) and name the pictures it left
	$(VENV_PYTHON) -m dcgan_lib train --preset laptop --data faces --seconds $(SECONDS)

outputs: $(STAMP) ## run changed notebooks and store what they show (NB="03 04" picks some, NB=--all takes all)
	@$(VENV_PYTHON) -m tools.notebooks outputs $(NB)

check: $(STAMP) ## look for stale outputs and broken notebook rules, without running anything
	@$(VENV_PYTHON) -m tools.notebooks check

links: $(STAMP) ## point every link at your repository: make links REPO=owner/name
	@$(VENV_PYTHON) -m tools.notebooks links "$(REPO)"
	@touch $(STAMP) # pyproject.toml has changed, what it installs has not

clean: ## remove .venv and caches; data/ and runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache *.egg-info build
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
