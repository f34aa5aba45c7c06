# Each target installs what it needs and says so. ARGS goes to the program behind: make run ARGS="--port 9000".
.DEFAULT_GOAL := help
.PHONY: help setup engine run check format test docs site crds lock try-api fuzz audit sbom chaos bench bench-growth bench-sync bench-render image
BIN := .venv/bin
IMAGE ?= mailboat:dev
KILLS ?= 250
RATE ?= 300
EXAMPLES ?= 50
MINUTES ?= 10

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Prepare .venv with .venv/bin/mailboat; starts nothing
	@.ci/setup

engine: setup ## Build the React engine: its bundle and a V8 snapshot (`make setup` does it too)
	@.ci/engine

run: setup ## Start Mailboat on this machine and print a curl line that sends a mail (ARGS for `mailboat up`)
	@$(BIN)/mailboat up $(ARGS)

check: setup ## Check format, lint, types, layers, licences and that generated pages are up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/docs.py --check
	@.ci/crds --check
	$(BIN)/python .ci/sbom.py --check

format: setup ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup ## Install what the tests need and run them all (ARGS for pytest)
	@.ci/packages chromium buildah runc debootstrap ip iptables conntrack cni || echo "Tests that need these are skipped."
	@.ci/mail-servers || echo "Tests that need these are skipped."
	$(BIN)/pytest $(ARGS)

docs: setup ## Write the generated pages of docs/
	$(BIN)/python .ci/docs.py

site: setup ## Build the site of docs/ into dist/site; a link that leads nowhere stops it
	$(BIN)/zensical build --clean --strict

crds: ## Copy the custom resources of crds/ into the chart
	@.ci/crds

lock: setup ## Lock the newest dependencies that pyproject.toml allows, with hashes
	@.ci/lock

try-api: setup ## Try every operation of the OpenAPI document at length with schemathesis (EXAMPLES=50 each way)
	SCHEMATHESIS_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/service/api/rest/test_contract.py $(ARGS)

fuzz: setup ## Throw at every reader of foreign input what nobody thought of (MINUTES=10; ARGS="-k webhooks")
	FUZZ_MINUTES=$(MINUTES) $(BIN)/pytest -s tests/fuzz $(ARGS)

audit: setup ## Ask the public databases whether a fault is known in any locked package; needs the network
	@.ci/audit

sbom: setup ## List what the image is made of, as CycloneDX: dist/sbom.cdx.json
	@. .ci/provenance && $(BIN)/python .ci/sbom.py dist/sbom.cdx.json && echo "Wrote dist/sbom.cdx.json."

chaos: setup ## Break parts at random under load and count what is lost (KILLS=250 RATE=300 SEED=7)
	CHAOS_KILLS=$(KILLS) CHAOS_RATE=$(RATE) CHAOS_SEED=$(SEED) CHAOS_ONLY="$(ONLY)" $(BIN)/pytest -s tests/chaos $(ARGS)

bench: setup ## Race Mailboat against the rival service (ARGS for race.py)
	@.ci/packages wrk redis-server psql postgres
	@.ci/bench $(ARGS)

bench-growth: setup ## Measure the drain rate with a full store (ARGS="--waiting 1000000 --stored 10000000")
	$(BIN)/python -m tests.bench.growth $(ARGS)

bench-sync: setup ## Measure an operator's first sync on a control plane (ARGS="--templates 5000 --clients 2000")
	$(BIN)/python -m tests.bench.first_sync $(ARGS)

bench-render: setup ## Measure rendering beside react-email on Node and Bun (ARGS="--soak" for memory too)
	@.ci/bench-render $(ARGS)

image: ## Build the container image with buildah, podman or docker (IMAGE=mailboat:dev)
	@.ci/image $(IMAGE)
