# Two commands do everything on a fresh Debian: `make demo` shows the product at work, `make test` tests it.
# Both install what they need first, and say so. `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
DEPLOYMENT := $(BIN)/python -m deployment
SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --config-file $(CURDIR)/samconfig.toml

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-engine cloud test test-all lint bench clean

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: ## install what the other commands need (Debian packages, virtual environments)
	@deployment/setup.sh

demo: release ## the whole story on the local cloud: nights, a failure, mails, a restore (two minutes)
	@$(BIN)/python -m tests.demo release

demo-engine: setup ## the engine alone, told step by step
	@$(BIN)/python -m tests.demo.engine

cloud: release ## a local cloud with a deployed backup stack that stays, to look around in
	@$(BIN)/python -m localcloud start --release release

test: inputs ## the tests: engine, faults, templates, functions, the scenarios on the local cloud (25 minutes)
	$(PYTEST) -n 4 --dist worksteal

test-all: inputs setup-browser ## these, and those that take a minute each or a browser (35 minutes)
	$(PYTEST) -n 4 --dist worksteal -m ''

lint: setup-release setup-sam ## ruff, mypy, shellcheck; cfn-lint and sam on the templates, as they are and as released
	@$(DEPLOYMENT) fetch
	@RELEASE=build/release $(DEPLOYMENT) build --bucket efs-backup-release
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	shellcheck .ci/run $$(git ls-files '*.sh')
	$(BIN)/cfn-lint templates/*.template build/release/*.template
	$(SAM) --template templates/efs-to-efs-backup.template
	$(SAM) --template templates/efs-to-efs-restore.template
	$(SAM) --template build/release/efs-to-efs-backup.template
	$(SAM) --template build/release/efs-to-efs-restore.template --config-env restore

.PHONY: setup-release setup-sam inputs release setup-browser
setup-release:
	@deployment/setup.sh release
setup-sam:
	@deployment/setup.sh sam
setup-browser:
	@deployment/setup.sh browser

inputs: setup-release ## fetch what a release is built from, pinned by checksum (the only step of it that uses the network)
	@$(DEPLOYMENT) fetch

release: inputs ## build the release: templates, functions, agent (BUCKET=start of your buckets' names)
	@$(DEPLOYMENT) build

.PHONY: publish deploy restore backup-now stop-now test-mail
publish: inputs ## build and upload the release, print launch links (BUCKET=... REGIONS="... | all" ACCESS=private|public|o-...)
	@$(if $(BUCKET),,echo 'say where: make publish BUCKET=… (its buckets are BUCKET-REGION)' >&2; exit 2)
	@$(DEPLOYMENT) build
	@$(DEPLOYMENT) publish

deploy: setup ## create or update a backup stack (STACK=... PARAMETERS=file.json SrcEFS=fs-... Email=...; asks for the rest)
	@$(DEPLOYMENT) deploy

restore: setup ## create a restore stack (FROM=backup stack, BackupNum=... RestoreSubDir=/home/ ...; asks for the rest)
	@$(DEPLOYMENT) restore

backup-now: setup ## start a backup (STACK=...)
	@$(DEPLOYMENT) backup-now

stop-now: setup ## stop the backup that runs; the next one carries on (STACK=...)
	@$(DEPLOYMENT) stop-now

test-mail: setup ## send a mail to whoever is told about backups (STACK=...)
	@$(DEPLOYMENT) test-mail

bench: setup ## speed and memory, beside the peers, in one run
	@$(BIN)/python -m tests.bench

.PHONY: lab lab-setup lab-short bench-nfs
lab-setup: setup
	@lab/setup.sh

lab: lab-setup inputs ## the release booted, and tests on real NFSv4.1, in virtual machines (LAB="--short": a few tests)
	@$(BIN)/python -m lab boot
	@$(BIN)/python -m lab test $(LAB)

lab-short: lab-setup ## a few of the tests on real NFSv4.1, where this host can have a virtual machine
	@$(BIN)/python -m lab test --short --where-possible

bench-nfs: lab-setup ## RPCs and virtual seconds, beside the peers (BENCH="--latency 1 3 --tools ...")
	@$(BIN)/python -m lab bench $(BENCH)

clean: ## remove everything that was built or installed here
	rm -rf .venv .venv-sam .venv-aws build release .cloud
