# Each target runs one or two commands, which also work without make.
PYTHON ?= python3
STACK ?= dev
RUN = .venv/bin/python
CODE = __main__.py benchmarks components operations policies/langfuse_policies sandbox tests tools

unexport PYTHONDONTWRITEBYTECODE # many processes import the same modules: compile them once

.DEFAULT_GOAL := help
.PHONY: help up down status test smoke test-whole test-fast test-node lint tools policy policy-state bench drill judges docs lock program development

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: program ## Start a local cluster and deploy a stack to it: make up STACK=dev [NODE=real]
	@$(RUN) -m sandbox deploy $(STACK) $(if $(NODE),--node $(NODE))

down: program ## Stop the local control plane and keep its state
	@$(RUN) -m sandbox down

status: program ## Show the processes of the local control plane
	@$(RUN) -m sandbox status

test: lint tools ## Run all checks and tests, and a random part of the long ones
	@$(RUN) -m pytest -m "not whole" --sample-long --numprocesses 5 --dist loadfile --no-loadscope-reorder --durations 20

test-whole: ## Run all checks and tests, and all of the long and exhaustive ones
	@SAMPLE=1 KILLS=10 $(MAKE) --no-print-directory test

test-fast: development ## Run the tests that need only Python
	@$(RUN) -m pytest tests/unit --numprocesses 4 --dist worksteal

smoke: development ## Test a deployed stack from end to end: make smoke STACK=prod
	@$(RUN) -m operations smoke --stack $(STACK)

test-node: development tools ## Run all tests of the real node, which takes root and one to two hours
	@$(RUN) -m pytest tests/node --durations 20

lint: development ## Check style, types and pipelines
	@$(RUN) -m ruff check --quiet . && $(RUN) -m ruff format --quiet --check . && $(RUN) -m mypy $(CODE)
	@.venv/bin/zizmor --offline --quiet .github
	@$$($(RUN) -m sandbox tools actionlint | awk '{ print $$3 }') -shellcheck .venv/bin/shellcheck

tools: program ## Download or build the tools of the local control plane
	@$(RUN) -m sandbox tools

policy: program ## Preview a stack with both policy packs: make policy STACK=prod
	@$(RUN) -m operations preview --stack $(STACK)

policy-state: program ## Check a deployed stack with both policy packs: make policy-state STACK=prod
	@$(RUN) -m operations policies --stack $(STACK)

bench: development ## Measure how long deployments take
	@$(RUN) -m benchmarks

drill: development tools ## Back up, lose and restore a million rows, 10,000 media and the queue, measured
	@$(RUN) -m tests.drill

judges: development ## Check the manifests of every environment with independent linters
	@$(RUN) -m tests.judges

docs: development ## Write the generated parts of the documentation
	@$(RUN) -m tools.docs

lock: development ## Resolve and lock the dependencies in pyproject.toml
	@sh tools/lock.sh

program:
	@$(PYTHON) tools/bootstrap.py requirements.txt

development:
	@$(PYTHON) tools/bootstrap.py requirements-dev.txt
