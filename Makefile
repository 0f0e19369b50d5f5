# Everything from a bare checkout: `make` lists the verbs.

HOST ?= 127.0.0.1
PORT ?= 8000
MODEL ?=
CONFIG ?= deploy/ray/serve.yaml
ARGS ?=
ifeq ($(shell uname -s),Darwin)
BACKEND ?= metal
else
BACKEND ?= cpu
endif

# The first Python that is new enough; one named by hand is taken at its word.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; \
	done)

# Images of containers often forbid Python to keep what it compiled. Then each of the hundreds of servers that tests
# start compiles all of our code, and each process of pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-input --constraint constraints.txt

# Files of tests are shared out among processes; more than four servers at once would want much memory. In the order
# of their names: those of few tests take the longest, and would come last.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The inner loop: folders whose tests start no server. Left out is what takes long, or processes of its own.
UNIT := $(addprefix tests/,api auth chat config grammars models runtime sizing) \
	$(addprefix tests/engine/,constraints embedding kv output) \
	$(addprefix --ignore=tests/,api/test_usage.py chat/test_quoted_input.py chat/test_stream_parsers.py \
	$(addprefix chat/rendering/,test_client.py test_lanes.py) engine/constraints/test_cpu_budget.py grammars/gbnf \
	models/hub/test_command.py models/test_templates.py)

TYPESCRIPT := 7.0.2

# In an order in which those stand together that want the same deployment.
RAY := cost ledger scaling routing survival texts

# pip builds our own package with the setuptools of the environment, whose version the constraints say.
EDITABLE := --no-build-isolation --editable

# Clients pin each other's packages differently, so each file of requirements has an environment of its own; those of
# .json are for npm. These install quickly.
CLIENTS := openai-2 openai-3 anthropic ollama openai-agents haystack smolagents outlines guidance $(if $(shell command -v npm),node)
ALL_CLIENTS := $(sort $(CLIENTS) $(basename $(notdir $(filter %.txt %.json,$(wildcard tests/clients/requirements/*)))))

.DEFAULT_GOAL := help
.PHONY: help serve ray-serve test test-ray test-unit test-clients test-clients-all test-models test-faults audit bench gpu-check lint types page-types chromium format resident native clean distclean

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  MODEL=path.gguf  HOST=127.0.0.1  PORT=8000  ARGS="..."  CONFIG=serve.yaml  BACKEND=cpu|cuda|metal|portable  PYTHON=python3'

serve: $(VENV)/.packages  ## serve a model: the resident one, or MODEL=path.gguf
	$(if $(MODEL),,@echo 'another model:  make serve MODEL=path/to/model.gguf PORT=8001')
	@exec $(BIN)/caravan serve --host "$(HOST)" --port "$(PORT)" $(if $(MODEL),--model "$(MODEL)") $(ARGS)

ray-serve: $(VENV)/.ray  ## serve models by Ray, on a cluster of this machine; CONFIG=serve.yaml
	@exec $(BIN)/caravan ray-serve --config "$(CONFIG)"

test: $(VENV)/.packages  ## run the tests; ARGS="tests/engine -k tree" for some
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-unit: $(VENV)/.packages  ## run those that take seconds, and name the slowest five
	$(BIN)/python -m pytest $(PARALLEL) --durations 5 $(UNIT) $(ARGS)

test-clients: $(VENV)/.packages $(if $(findstring --ray,$(ARGS)),$(VENV)/.ray) $(CLIENTS:%=.venv-clients/%/.installed)  ## let real clients talk to a live server; ARGS=--ray to one on Ray
	@command -v npm >/dev/null || echo 'no npm on this machine: the client for Node is left out'
	$(BIN)/python -m pytest -p no:cacheprovider tests/clients/suite.py tests/clients/openapi_suite.py $(ARGS)

test-clients-all: $(VENV)/.packages $(ALL_CLIENTS:%=.venv-clients/%/.installed)  ## all real clients, agents on the command line too; needs npm
	$(BIN)/python -m pytest -p no:cacheprovider tests/clients/suite.py tests/clients/openapi_suite.py \
		tests/clients/coverage_suite.py tests/clients/agents_suite.py $(ARGS)

test-models: $(VENV)/.packages  ## fetch real models and chat templates, half a gigabyte, once, and test with them
	@$(BIN)/python -m tests.real.materials
	$(BIN)/python -m pytest -p no:cacheprovider $(PARALLEL) tests/real/*_suite.py $(ARGS)

test-faults: $(VENV)/.packages  ## the long part of what is done to a running server: 10,000 wrong requests, minutes of mixed traffic
	$(BIN)/python -m pytest -p no:cacheprovider tests/faults/*_suite.py $(ARGS)

test-ray: $(VENV)/.ray  ## what Ray Serve does with our deployments: texts, routes, deaths, scaling; some minutes
	$(BIN)/python -m pytest -p no:cacheprovider -W ignore $(RAY:%=tests/ray/%_suite.py) $(ARGS)

audit: $(VENV)/.packages .venv-audit/.packages  ## look for tampered packages, licences, weaknesses; ARGS=--offline asks no advisories
	@$(BIN)/python -m deploy.audit.run $(ARGS)

bench: $(VENV)/.bench  ## measure beside llama-server; ARGS=--quick for two minutes
	$(BIN)/python -m tests.bench $(ARGS)

gpu-check: $(VENV)/.packages  ## build for the GPU at hand, compare logits, and measure; nine minutes at most, once installed
	$(BIN)/python -m tests.bench.gpu_check $(ARGS)

lint: $(VENV)/.packages  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.packages  ## check types
	$(BIN)/mypy

page-types:  ## check the types of the page's scripts; needs npm
	npx --yes --package typescript@$(TYPESCRIPT) tsc --project server/caravan/web/page/jsconfig.json

chromium:  ## install the browser that tests of the page run in, where that is missing and can be done
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install --yes -qq --no-install-recommends chromium >/dev/null; \
		else \
			echo 'no Chromium here, and no way to install it: tests of the page need one'; \
		fi

format: $(VENV)/.packages  ## reformat, and fix what can be fixed by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

resident: .venv-resident/.packages  ## train the resident model anew
	.venv-resident/bin/python -m deploy.resident.run $(ARGS)

native: $(VENV)/.tools  ## build llama.cpp for this machine, unless that is done
	@$(BIN)/python -m deploy.build.native --backend "$(BACKEND)"

clean:  ## remove what was built, but not the wheels that passed, nor what `test-models` fetched
	rm -rf $(VENV) .venv-audit .venv-resident .venv-clients dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
	if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name wheels ! -name materials -exec rm -rf {} +; fi

distclean: clean  ## remove those of this checkout, too
	rm -rf build

# `native` looks for itself whether compiler, processor or BACKEND have changed, so it is asked each time.
$(VENV)/.packages: pyproject.toml constraints.txt | native
	@echo 'installing the packages'
	@PYTHONWARNINGS=ignore $(INSTALL) $(EDITABLE) '.[dev,tune]'
	@touch $@

$(VENV)/.bench: $(VENV)/.packages
	@$(INSTALL) $(EDITABLE) '.[dev,tune,bench]'
	@touch $@

$(VENV)/.ray: $(VENV)/.packages
	@echo 'installing Ray'
	@PYTHONWARNINGS=ignore $(INSTALL) $(EDITABLE) '.[dev,tune,ray]'
	@touch $@

$(VENV)/.tools: constraints.txt deploy/build/requirements.txt | $(VENV)/.made
	@echo 'installing the build tools'
	@$(INSTALL) pip setuptools
	@$(INSTALL) --requirement deploy/build/requirements.txt
	@touch $@

# The stamp comes last, so an interrupted one is made again.
$(VENV)/.made:
	@deploy/build/make_venv.sh "$(PYTHON)" $(VENV)
	@touch $@

# uv does in seconds what takes pip minutes, but knows nothing of an index that pip is set to.
UV := .venv-clients/uv/bin
.venv-clients/%/.installed: tests/clients/requirements/%.txt | $(UV)/uv
	@echo 'installing clients: $*'
	@$(UV)/uv venv --quiet --clear --python "$(PYTHON)" $(@D)
	@$(UV)/uv pip install --quiet --python $(@D)/bin/python --requirement $< || \
		$(UV)/python -m pip --python $(@D)/bin/python install --quiet --no-input --requirement $<
	@touch $@

$(UV)/uv: tests/clients/uv.txt constraints.txt
	@deploy/build/make_venv.sh "$(PYTHON)" .venv-clients/uv
	@$(UV)/python -m pip --disable-pip-version-check install --quiet --no-input --requirement $<
	@touch $@

.venv-clients/%/.installed: tests/clients/requirements/%.json $(wildcard tests/clients/node/*.mjs)
	@echo 'installing clients by npm: $*'
	@mkdir -p $(@D) && cp $(filter %.mjs,$^) $(@D) && cp $< $(@D)/package.json
	@cd $(@D) && npm install --no-package-lock --no-audit --no-fund --silent
	@touch $@

.venv-audit/.packages: deploy/audit/requirements.txt
	@echo 'installing the tools of the audit'
	@deploy/build/make_venv.sh "$(PYTHON)" .venv-audit
	@.venv-audit/bin/python -m pip --disable-pip-version-check install --quiet --no-input --require-hashes --no-deps \
		--requirement $<
	@touch $@

# The evaluation runs the model on llama.cpp, so this environment gets the same trusted build.
.venv-resident/.packages: deploy/resident/requirements.txt deploy/build/requirements.txt constraints.txt
	@deploy/build/make_venv.sh "$(PYTHON)" .venv-resident
	.venv-resident/bin/python -m pip install --quiet --constraint constraints.txt pip setuptools \
		--requirement deploy/build/requirements.txt
	.venv-resident/bin/python -m deploy.build.native
	.venv-resident/bin/python -m pip install --quiet --requirement deploy/resident/requirements.txt
	@touch $@
