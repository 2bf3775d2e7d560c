# Two commands do everything on a fresh Debian: `make demo` shows the product at work, `make test` tests it.
# Both install what they need first, and say so. `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-cloud lint bench release clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: ## install what the other commands need (Debian packages, virtual environments)
	@deployment/setup.sh

demo: setup ## the main job, told step by step
	@$(BIN)/python -m tests.demo

test: inputs ## every test that needs no virtual machine
	$(PYTEST) -n 2 --dist worksteal

test-cloud: inputs ## the stacks, their functions and the local cloud (being built; not part of `make test` yet)
	$(PYTEST) -n 2 --dist worksteal tests/cloud tests/templates tests/unit/functions

lint: release ## ruff, mypy, shellcheck; cfn-lint and sam on the templates, as they are and as released
	@deployment/setup.sh sam
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	shellcheck .ci/run $$(git ls-files '*.sh')
	$(BIN)/cfn-lint templates/*.template release/*.template
	$(SAM) validate
	$(SAM) validate --config-env restore
	$(SAM) validate --template templates/efs-to-efs-backup.template
	$(SAM) validate --template templates/efs-to-efs-restore.template

.PHONY: inputs
inputs: ## fetch what a release is built from, pinned by checksum (the only step of it that uses the network)
	@deployment/setup.sh release
	@$(BIN)/python -m deployment fetch

release: inputs ## build the release: templates, functions, agent (BUCKET=start of your buckets' names)
	@$(BIN)/python -m deployment build

bench: setup ## speed and memory, beside the peers, in one run
	@$(BIN)/python -m tests.bench

.PHONY: lab lab-setup bench-nfs
lab-setup: setup
	@lab/setup.sh

lab: lab-setup ## the tests on real NFSv4.1, in a virtual machine (LAB="--short", or names of tests)
	@$(BIN)/python -m lab test $(LAB)

bench-nfs: lab-setup ## RPCs and virtual seconds, beside the peers (BENCH="--latency 1 3 --tools ...")
	@$(BIN)/python -m lab bench $(BENCH)

clean: ## remove everything that was built or installed here
	rm -rf .venv .venv-sam .venv-aws build release .cloud
