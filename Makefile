# The tasks of the project; `make` alone lists them. Everything is installed into virtual
# environments inside this folder.

PYTHON ?= python3
VENV := .venv
DEMO_VENV := .venv-demo
DEMO := demo
JOBS ?= 3  # on two cores: some tests wait for browsers and servers

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage quick heavy fuzz lint format docs tables bench clean

help:  ## list the tasks
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

install: $(VENV)/installed  ## install the development environment into .venv

demo: $(DEMO_VENV)/installed  ## install the core and colour the photographs in examples/
	$(DEMO_VENV)/bin/tintype colorize examples --output $(DEMO) --compare --overwrite
	@echo "The coloured photographs, and pictures of before and after, lie in $(CURDIR)/$(DEMO)"
	@echo "The command is $(CURDIR)/$(DEMO_VENV)/bin/tintype; 'pip install .' puts it on your path"

# One thread for torch and numpy in each of the test processes, or they fight over the cores. Each
# has a share of the files, and takes tests from the others when it is done.
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal

test: $(VENV)/installed  ## run the whole test suite
	$(PYTEST)

coverage: $(VENV)/installed  ## run it, and print which lines and branches it leaves out
	$(PYTEST) --cov --cov-report=term-missing

quick: $(VENV)/installed  ## run what neither trains, exports, measures, nor starts processes
	$(PYTEST) -m "not (slow or heavy or gpu or network or shared)"

# pytest ends with 5 where there is no such test.
heavy: $(VENV)/installed  ## run the tests that take long: fuzzing, published sizes, many files
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) -m heavy || \
	    { test $$? -eq 5 && echo "No test is marked heavy."; }

fuzz: $(VENV)/installed  ## open 20,000 mutated photographs
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) -m heavy tests/photo/test_photo_fuzz.py

lint: $(VENV)/installed  ## check style, format and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/installed  ## put the sources into the house format
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

docs: $(VENV)/installed  ## build the documents into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build

tables: $(VENV)/installed  ## write the generated parts of the documents anew
	$(VENV)/bin/python docs/tables.py

bench: $(VENV)/installed  ## measure speed; with PHOTOS=FOLDER the enlargement of chroma too
	$(VENV)/bin/python benchmarks/command.py
	$(VENV)/bin/python benchmarks/engine.py
	$(VENV)/bin/python benchmarks/vectorisation.py
	$(VENV)/bin/python benchmarks/guided_filter.py
	$(VENV)/bin/python benchmarks/studio.py
	$(if $(PHOTOS),$(VENV)/bin/python benchmarks/enlarge_chroma.py $(PHOTOS))

clean:  ## remove the environments, caches and results
	rm -rf $(VENV) $(DEMO_VENV) $(DEMO) dist site .coverage* .pytest_cache .ruff_cache .hypothesis

# The stamp files make a second run start at once.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Installing the development environment into $(VENV): 5 to 15 minutes the first time, and"
	@echo "2.3 GB with torch for a CPU, more with CUDA"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

$(DEMO_VENV)/installed: pyproject.toml $(shell find src -type f -not -name '*.pyc')
	@echo "Installing tintype into $(DEMO_VENV)"
	@$(PYTHON) -m venv $(DEMO_VENV)
	@$(DEMO_VENV)/bin/python -m pip install --quiet .
	@touch $@
