# `make demo`, `make test` and `make docs`: each works from a fresh clone and makes its own .venv first.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := icet,pymatgen,plot,thermo,cluster,test

.PHONY: demo test lint docs clean

demo: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python examples/demo.py

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m pip install -q -e '.[docs]' -c constraints.txt
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs
	@echo 'written: build/docs/index.html'

$(STAMP): pyproject.toml constraints.txt
	@python=; for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo 'arlattice needs Python 3.11 or newer: install it, or name one: make PYTHON=/path/to/python3.11' >&2; exit 2; fi; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $$python -m venv --clear $(VENV)
	$(BIN)/python -m pip install -e '.[$(EXTRAS)]' -c constraints.txt
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
