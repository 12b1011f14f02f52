# Everything runs in .venv, made on first use; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
SOURCES := pyproject.toml $(CONSTRAINTS)
CORE := attention axes decompositions distillation models results soundness sweep training transformer

.PHONY: quick test test-thorough test-core test-core-lowest test-slow lint types docs notebooks figures \
  benchmark benchmark-overlap benchmark-kernels benchmark-transformer benchmark-soundness \
  benchmark-accelerator clean

quick: $(VENV)/run  ## the main experiment, small, in under a minute
	$(BIN)/python -m experiments.mnist_aux

test: $(VENV)/dev  ## what would break first: some minutes on 2 cores
	$(BIN)/python -m pytest -m "not slow and not thorough" -n auto --dist loadfile

test-thorough: $(VENV)/dev  ## all other tests but the slow ones
	$(BIN)/python -m pytest -m "thorough and not slow" -n auto --dist loadfile

test-core: $(VENV)/dev  ## what all else stands on; for another Python: PYTHON=python3.12 VENV=.venv312
	$(BIN)/python -m pytest -n auto --dist loadfile $(CORE:%=tests/test_%.py)

test-core-lowest:  ## the same on the oldest versions that pyproject.toml allows
	$(MAKE) test-core VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

test-slow: $(VENV)/dev  ## the scientific checks of minutes; they need MNIST
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

docs: $(VENV)/docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

notebooks: $(VENV)/dev  ## run every notebook, and keep it as it came out
	$(BIN)/python notebooks/run.py $(ARGS)

figures: $(VENV)/run  ## draw every figure anew from the data beside it
	$(BIN)/python -m experiments.figures $(ARGS)

benchmark: $(VENV)/benchmark  ## against the PyTorch peer; needs MNIST and a quiet machine
	$(BIN)/python benchmarks/mnist_aux.py $(ARGS)

benchmark-overlap: $(VENV)/benchmark  ## a sweep of overlaps against three PyTorch peers
	$(BIN)/python benchmarks/overlap.py $(ARGS)

benchmark-kernels: $(VENV)/run  ## the tangent kernel by layers against contracted Jacobians
	$(BIN)/python benchmarks/kernels.py $(ARGS)

benchmark-transformer: $(VENV)/benchmark  ## tokens per second beside a PyTorch peer
	$(BIN)/python benchmarks/transformer.py $(ARGS)

benchmark-soundness: $(VENV)/run  ## does compiled code compute the right numbers, every time?
	$(BIN)/python benchmarks/soundness.py $(ARGS)

benchmark-accelerator: $(VENV)/run  ## what one GPU or TPU does, in ten minutes; needs one, and MNIST
	$(BIN)/python benchmarks/accelerator.py $(ARGS)

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/dev $(VENV)/docs $(VENV)/benchmark: $(VENV)/%: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c $(CONSTRAINTS) -e ".[$*]"
	@touch $@
