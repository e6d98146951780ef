# Start with `make demo` and `make test`; both install everything they need.
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

demo: $(STAMP) ## run the exporter on simulated GPUs and servers, and print its URL
	$(BIN)/goodwatt demo

run: $(STAMP) ## run the exporter on this machine's GPUs and inference servers
	$(BIN)/goodwatt run

parts: ## install the programs that the tests run: gcc, Prometheus, Alertmanager
	@.ci/parts

test: $(STAMP) parts ## run all checks except real engines, GPUs and deployment: 5 to 6 minutes
	@$(MAKE) --no-print-directory -j2 lint unit

lint: $(STAMP) ## run ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(STAMP) ## run the test suite with its coverage thresholds
	rm -f .coverage .coverage.*
	$(BIN)/pytest -m "not real and not gpu and not deploy" -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='exporter/goodwatt/model/*,exporter/goodwatt/derive/*' --fail-under=100

test-engines: $(STAMP) ## test with a real vLLM and llama-server; the first run installs them (15 minutes, 5 GB)
	GOODWATT_CACHE=$(CACHE) PYTHON=$(PYTHON) tests/real/install-engines.sh
	GOODWATT_CACHE=$(CACHE) $(BIN)/pytest -m real tests/real

test-vllm: $(STAMP) ## test with the real vLLM only: LoRA adapters, restarts, aborted requests, goodput, spans
	GOODWATT_CACHE=$(CACHE) PYTHON=$(PYTHON) tests/real/install-engines.sh
	GOODWATT_CACHE=$(CACHE) $(BIN)/pytest -m real tests/real/test_vllm.py tests/real/test_goodput.py tests/real/test_otlp.py

test-deploy: $(STAMP) parts ## test the image, systemd unit, alerts and a real browser, end to end
	GOODWATT_CACHE=$(CACHE) .ci/parts-deploy
	GOODWATT_CACHE=$(CACHE) $(BIN)/pytest -m deploy tests --timeout 600

test-gpu: $(STAMP) ## run the tests that need an NVIDIA GPU
	$(BIN)/pytest -m gpu tests

bench: $(STAMP) ## measure CPU, memory and latency
	$(BIN)/python -m tests.bench

docs: $(STAMP) ## regenerate the references in docs/, rules in deploy/ and dashboards in grafana/
	$(BIN)/python -m tests.docs
	$(BIN)/python -m grafana
	$(BIN)/python -m deploy.kubernetes.generate

pictures: $(STAMP) ## redraw the pictures in docs/dashboards.md: 30 minutes; needs npm, chromium, pngquant
	GOODWATT_CACHE=$(CACHE) $(BIN)/python -m tests.grafana.render

clean: ## remove everything that make creates
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
