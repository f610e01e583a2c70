# SPDX-License-Identifier: Apache-2.0
# Copyright: the weft.platform authors

CONTROL_PLANES ?= 3
WORKERS ?= 2
PYTHON ?= python3
# For each of eleven targets.
FUZZ_SECONDS ?= 2

# Both are kept in the cache folder and made when they are missing; nothing is installed for the whole user.
ENVIRONMENT = $(shell $(PYTHON) -m tests.machines.environment requirements-dev.txt || echo /nonexistent)
COLLECTIONS = $(shell $(PYTHON) -m tests.machines.environment --collections)

.DEFAULT_GOAL := help

.PHONY: help
help:  ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | sort | awk -F'|' '{printf "  make %-20s %s\n", $$1, $$2}'

.PHONY: quickstart
quickstart:  ## A cluster on this host (CONTROL_PLANES=3 WORKERS=2)
	@$(PYTHON) -m tests.machines.quickstart --control-planes $(CONTROL_PLANES) --workers $(WORKERS)

.PHONY: quickstart-destroy
quickstart-destroy:  ## Remove it; downloads and builds stay
	@$(PYTHON) -m tests.machines.quickstart --destroy

.PHONY: clean-cache
clean-cache:  ## Remove downloads and builds as well
	@$(PYTHON) -m tests.machines.quickstart --clean-cache

.PHONY: test
test: lint types sanity package unit fuzz molecule scenarios  ## Lint, types, sanity, packaging, unit tests, fuzzing, Molecule, and the scenarios on container machines

.PHONY: lint
lint: export ANSIBLE_COLLECTIONS_PATH = $(COLLECTIONS)
lint: export PYTHONPATH = $(COLLECTIONS)
lint:  ## Style of Python, YAML and Ansible, and whether generated files are current
	@set -e; bin=$(ENVIRONMENT)/bin; export PATH="$$bin:$$PATH"; \
	ruff check --quiet .; \
	ruff format --quiet --check .; \
	yamllint --strict $$(git ls-files '*.yml' '*.yaml'); \
	ansible-lint -q; \
	python hack/generate.py --check; \
	echo 'lint: ok'

# Not part of lint: it wants Go, which nothing else here does, and downloads modules when they are not in Go's cache.
.PHONY: upstream
upstream: export PYTHONPATH = $(COLLECTIONS)
upstream:  ## Whether the data made from Kubernetes' and OPA's modules is current; wants Go
	@set -e; bin=$(ENVIRONMENT)/bin; \
	$$bin/python hack/kubernetes_schemas.py --check; \
	$$bin/python hack/opa_capabilities.py --check; \
	echo 'upstream: ok'

.PHONY: types
types: export MYPYPATH = $(COLLECTIONS)
types:  ## mypy, strict
	@set -e; bin=$(ENVIRONMENT)/bin; \
	$$bin/mypy --package ansible_collections.weft.platform.plugins; \
	$$bin/mypy tests hack benchmarks

.PHONY: package
package:  ## The collection builds, installs elsewhere, and its playbooks are found by name
	@set -e; bin=$(ENVIRONMENT)/bin; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	unset PYTHONPATH; export ANSIBLE_COLLECTIONS_PATH="$$folder/installed"; \
	$$bin/ansible-galaxy collection build --output-path "$$folder" >/dev/null; \
	$$bin/ansible-galaxy collection install --offline -p "$$folder/installed" "$$folder"/*.tar.gz >/dev/null; \
	cd "$$folder"; \
	for playbook in installed/ansible_collections/weft/platform/playbooks/*.yml; do \
	  $$bin/ansible-playbook -i $(CURDIR)/inventories/base -i $(CURDIR)/inventories/examples/staging \
	    weft.platform.$$(basename "$$playbook" .yml) --syntax-check >/dev/null; \
	done; \
	$$bin/ansible-doc --type module --list weft.platform >/dev/null; \
	echo 'package: ok'

.PHONY: sanity
sanity:  ## Ansible's own checks of the collection, built and installed
	@$(ENVIRONMENT)/bin/python -m tests.sanity.run

.PHONY: unit
unit:  ## Unit tests: no network, no root
	@$(ENVIRONMENT)/bin/python -m pytest tests/unit -q --numprocesses 2

.PHONY: fuzz
fuzz: export PYTHONPATH = $(COLLECTIONS)
fuzz:  ## Inputs made at random for the policy manager's parsers, bounded in time (FUZZ_SECONDS=2)
	@$(ENVIRONMENT)/bin/python -m tests.fuzz.policy --seconds $(FUZZ_SECONDS)

.PHONY: molecule
molecule: export ANSIBLE_COLLECTIONS_PATH = $(COLLECTIONS)
molecule:  ## Check, converge, idempotence and verify of a small cluster on container machines; root or sudo
	@$(PYTHON) -m tests.machines.environment --packages
	@set -e; bin=$(ENVIRONMENT)/bin; export PATH="$$bin:$$PATH"; molecule test

.PHONY: scenarios
scenarios:  ## What holds on real machines; root or sudo
	@$(PYTHON) -m tests.machines.environment --packages openssh-server
	@$(ENVIRONMENT)/bin/python -m pytest tests/integration -q

.PHONY: generate
generate: export PYTHONPATH = $(COLLECTIONS)
generate:  ## Write what follows from the roles' argument specs
	@$(ENVIRONMENT)/bin/python hack/generate.py

.PHONY: build
build:  ## The collection as an archive
	@$(ENVIRONMENT)/bin/ansible-galaxy collection build --force
