# Two commands do all the set-up: 'make demo' and 'make test'. Both are safe to repeat.
# Python 3.11 or later does the work; scripts/python finds it, or installs it.

PYTHON := scripts/python

.DEFAULT_GOAL := help
.PHONY: help demo test matrix smoke attacks requests check docs lock bench clean

help: ## say what there is to make
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## set up what is missing, boot a machine, show it, delete it
	@$(PYTHON) scripts/setup.py run
	@.venv/bin/python scripts/demo.py

test: ## set up what the tests need and run them all; ARGS="..." goes to pytest
	@$(PYTHON) scripts/suite.py $(ARGS)

matrix: ## run the whole crash matrix, some 20 hours; ARGS="-k NAME" picks some
	@$(PYTHON) scripts/suite.py --group matrix $(ARGS)

smoke: ## run the scenarios in the emulated host; ONE=name picks some
	@$(PYTHON) scripts/suite.py --group smoke $(if $(ONE),-k $(ONE)) $(ARGS)

attacks: ## attack the root helper with 100,000 requests (root; a quarter of an hour); COUNT=n
	@$(PYTHON) scripts/setup.py test
	@BANGER_ATTACKS=$(or $(COUNT),100000) .venv/bin/python -m pytest tests/security/test_helper_attacks.py -q -s

requests: ## send the daemon 10,000 generated requests (a quarter of an hour); COUNT=n
	@$(PYTHON) scripts/setup.py test
	@BANGER_BAD_REQUESTS=$(or $(COUNT),10000) .venv/bin/python -m pytest tests/security/test_bad_requests.py -q -s

check: ## the checks that need no machine: lint, types, layers, size rules, docs
	@$(PYTHON) scripts/setup.py test
	@.venv/bin/python -m pytest tests/style -q

docs: ## write the generated reference pages again
	@$(PYTHON) scripts/setup.py run
	@.venv/bin/python scripts/docs.py

lock: ## resolve requirements.lock again (needs uv)
	@scripts/lock

bench: ## measure the figures of SPECIFICATION.md; BENCH="NAME ..." picks some
	@$(PYTHON) scripts/setup.py test
	@.venv/bin/python -m bench.run $(BENCH)

clean: ## remove what was built in this directory; machines and images stay
	rm -rf .venv build dist src/banger/guest/agent src/banger/vmm/qemu/*/netguard.so .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
