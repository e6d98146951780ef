# Two commands for a newcomer: `make demo` and `make test`. Everything they need is installed by them.
PYTHON ?= $(firstword $(shell for p in python3.11 python3.12 python3.13 python3.14; do command -v $$p; done; true) python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CACHE  ?= $(if $(GOODWATT_CACHE),$(GOODWATT_CACHE),$(HOME)/.cache/goodwatt)

.DEFAULT_GOAL := help
.PHONY: help demo run test lint unit test-engines test-vllm test-deploy test-gpu bench docs pictures parts clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "goodwatt needs Python 3.11 or newer: apt-get install python3 python3-venv, or set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $(STAMP)

demo: $(STAMP) ## simulated GPUs and servers, read by the real exporter; ends with a URL
	$(BIN)/goodwatt demo

run: $(STAMP) ## read this machine's GPUs and inference servers
	$(BIN)/goodwatt run

parts: ## install what the tests drive: gcc, Prometheus, Alertmanager
	@.ci/parts

test: $(STAMP) parts ## every check but the real engines and what is deployed: 5 to 6 minutes
	@$(MAKE) --no-print-directory -j2 lint unit

lint: $(STAMP) ## ruff, mypy, the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP) ## the test suite with its coverage gates
	rm -f .coverage .coverage.*
	$(BIN)/pytest -m "not real and not gpu and not deploy" -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='exporter/goodwatt/model/*,exporter/goodwatt/derive/*' --fail-under=100

test-engines: $(STAMP) ## a real vLLM and a real llama-server; the first run installs them (15 minutes, 5 GB)
	GOODWATT_CACHE=$(CACHE) PYTHON=$(PYTHON) tests/real/install-engines.sh
	GOODWATT_CACHE=$(CACHE) $(BIN)/pytest -m real tests/real

test-vllm: $(STAMP) ## of these, the real vLLM alone: LoRA adapters, restarts, clients that hang up, goodput, spans
	GOODWATT_CACHE=$(CACHE) PYTHON=$(PYTHON) tests/real/install-engines.sh
	GOODWATT_CACHE=$(CACHE) $(BIN)/pytest -m real tests/real/test_vllm.py tests/real/test_goodput.py tests/real/test_otlp.py

test-deploy: $(STAMP) parts ## real browser, image, alerts end to end
	GOODWATT_CACHE=$(CACHE) .ci/parts-deploy
	GOODWATT_CACHE=$(CACHE) $(BIN)/pytest -m deploy tests --timeout 600

test-gpu: $(STAMP) ## what only a machine with an NVIDIA GPU can answer
	$(BIN)/pytest -m gpu tests

bench: $(STAMP) ## costs and latencies, as figures and ratios
	$(BIN)/python -m tests.bench

docs: $(STAMP) ## regenerate the references in docs/, the rules in deploy/ and the dashboards in grafana/
	$(BIN)/python -m tests.docs
	$(BIN)/python -m grafana
	$(BIN)/python -m deploy.kubernetes.generate

pictures: $(STAMP) ## draw the dashboards of docs/dashboards.md again: half an hour; npm, chromium, pngquant
	GOODWATT_CACHE=$(CACHE) $(BIN)/python -m tests.grafana.render

clean: ## remove what make built
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
