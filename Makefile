# Every target is one line; what it runs can be run without make.
PYTHON ?= python3
STACK ?= dev
RUN = .venv/bin/python
CODE = __main__.py benchmarks components operations policies/langfuse_policies sandbox tests tools

unexport PYTHONDONTWRITEBYTECODE # many processes import the same modules: compiled once, not in each

.DEFAULT_GOAL := help
.PHONY: help up down status test test-fast lint tools policy policy-state bench judges docs lock program development

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: program ## Starts a local control plane and deploys to it: make up STACK=dev
	@$(RUN) -m sandbox deploy $(STACK)

down: program ## Stops the local control plane; its state stays
	@$(RUN) -m sandbox down

status: program ## Tells what of the local control plane runs
	@$(RUN) -m sandbox status

test: lint tools ## Runs every check and test
	@GOMEMLIMIT=1GiB $(RUN) -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-fast: development ## Runs the tests that need only Python
	@$(RUN) -m pytest tests/unit --numprocesses 3 --dist worksteal

lint: development ## Checks style, types and pipelines
	@$(RUN) -m ruff check --quiet . && $(RUN) -m ruff format --quiet --check . && $(RUN) -m mypy $(CODE)
	@.venv/bin/zizmor --offline --quiet .github
	@$$($(RUN) -m sandbox tools actionlint | awk '{ print $$3 }') -shellcheck .venv/bin/shellcheck

tools: program ## Downloads or builds the tools of the local control plane
	@$(RUN) -m sandbox tools

policy: program ## Previews a stack with both policy packs: make policy STACK=prod
	@$(RUN) -m operations preview --stack $(STACK)

policy-state: program ## Judges a deployed stack with both policy packs
	@$(RUN) -m operations policies --stack $(STACK)

bench: development ## Compares the time of deployments side by side
	@$(RUN) -m benchmarks

judges: development ## Asks independent judges about the manifests of every environment
	@$(RUN) -m tests.judges

docs: development ## Writes the generated parts of the documentation
	@$(RUN) -m tools.docs

lock: development ## Resolves and locks the dependencies of pyproject.toml
	@sh lock.sh

program:
	@$(PYTHON) sandbox/bootstrap.py requirements.txt

development:
	@$(PYTHON) sandbox/bootstrap.py requirements-dev.txt
