# Everything a developer or CI runs. Needs Python 3.11 or newer, make, and a package index.
# Each environment is made once, from a lock file with hashes, and made again when that changes.

PYTHON ?= python3
export PYTHON

# pytest's processes; 0 runs in one, which a debugger needs.
PROCESSES ?= 2
# further arguments for pytest or the benchmarks: make test ARGS="tests/unit -k template"
ARGS ?=

dev := .venv
demo := .venv-demo
example := examples/seismology
code := src tests docs examples tools $(wildcard benchmarks)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

.PHONY: demo
demo: $(demo)/.ready ## run the seismology example on the recordings that ObsPy ships
	@cd $(example) && PATH="$(CURDIR)/$(demo)/bin:$$PATH" ./demo

.PHONY: demo-web
demo-web: $(dev)/.ready ## serve a protein search, submit to it by curl and in a browser, and leave it running
	@requirements/servers
	@PATH="$(CURDIR)/$(dev)/bin:$$PATH" examples/webservice/demo --stay

.PHONY: demo-sequencing
demo-sequencing: $(dev)/.ready ## reprocess sequencing data: merges, error folders, a second server, tapes
	@requirements/servers
	@PATH="$(CURDIR)/$(dev)/bin:$$PATH" examples/sequencing/demo $(ARGS)

.PHONY: examples
examples: $(demo)/.ready ## run every example in full
	@for demo in examples/*/demo; do \
		echo "== $$demo"; PATH="$(CURDIR)/$(demo)/bin:$$PATH" "$$demo" || exit; \
	done
	@echo "== examples/edelweiss"; $(MAKE) --no-print-directory demo-edelweiss

.PHONY: demo-edelweiss
demo-edelweiss: $(dev)/.ready ## two sites on this machine, with a cable that is cut: documents, ssh, Slurm (as root)
	@requirements/servers
	@$(dev)/bin/python tests/batch/edelweiss.py $(ARGS)

.PHONY: demo-slurm
demo-slurm: $(dev)/.ready ## run the satellite example on a Slurm of this machine's, with pilots
	@requirements/servers
	@$(dev)/bin/python tests/batch/satellite.py $(ARGS)

.PHONY: test
test: $(dev)/.ready ## run all tests
	@requirements/servers
	@requirements/shells
	$(dev)/bin/python -m pytest -n $(PROCESSES) --dist loadgroup $(ARGS)

.PHONY: explore
explore: $(dev)/.ready ## look for counterexamples that the tests do not draw
	$(dev)/bin/python -m pytest -n $(PROCESSES) --hypothesis-profile explore $(ARGS) tests/unit tests/property

.PHONY: check
check: $(dev)/.ready ## formatting, lint, types and layers
	$(dev)/bin/ruff format --check $(code)
	$(dev)/bin/ruff check $(code)
	$(dev)/bin/mypy
	$(dev)/bin/lint-imports

.PHONY: format
format: $(dev)/.ready ## put the code into shape
	$(dev)/bin/ruff format $(code)
	$(dev)/bin/ruff check --fix $(code)

.PHONY: bench
bench: $(dev)/.ready ## measure, each figure beside its baseline
	@for script in benchmarks/[a-z]*.py; do \
		echo "== $$script"; $(dev)/bin/python "$$script" $(ARGS) || exit; \
	done

.PHONY: chaos
chaos: $(dev)/.ready ## break everything at random for ten minutes, then check the promises
	@requirements/servers
	$(dev)/bin/python tests/faults/chaos.py $(ARGS)
	$(dev)/bin/python tests/batch/chaos.py
	$(dev)/bin/python tests/integration/outposts/chaos.py

.PHONY: chaos-pilots
chaos-pilots: $(dev)/.ready ## the part of it with pilots on a Slurm of this machine's
	@requirements/servers
	$(dev)/bin/python tests/batch/chaos.py $(ARGS)

.PHONY: chaos-outposts
chaos-outposts: $(dev)/.ready ## the part of it with an outpost over ssh
	@requirements/servers
	$(dev)/bin/python tests/integration/outposts/chaos.py $(ARGS)

.PHONY: conformance
conformance: $(dev)/.ready ## ask others' tools about the web service: accessibility, HTML, documents, clients
	@cd tests && PYTHONPATH=. ../$(dev)/bin/python conformance.py $(ARGS)

.PHONY: pictures
pictures: $(demo)/.ready $(dev)/.ready ## take the pictures of the documentation again, from the examples
	@requirements/servers
	@cd tests && PYTHONPATH=. ../$(dev)/bin/python pictures.py $(ARGS)

.PHONY: mutants
mutants: $(dev)/.ready ## put small faults into the code, and see whether the tests notice
	$(dev)/bin/python tests/mutants.py $(ARGS)

.PHONY: docs
docs: $(dev)/.ready ## build the documentation; a warning is an error
	$(dev)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: lock
lock: $(dev)/.ready ## pin the newest versions
	requirements/lock $(dev)/bin/python -m uv

.PHONY: clean
clean: ## remove the environments and everything that was built
	rm -rf $(dev) $(demo) docs/_build docs/reference/_generated build dist
	rm -rf $(example)/recordings $(example)/results $(example)/.stoker
	cd examples/neuroscience && rm -rf raw results rates largest .stoker blocks.tsv.report
	cd examples/sequencing && rm -rf incoming content local quant results errors volumes catalogue tapes server_b \
		.stoker reference.idx encodings.txt messages.txt worker.log
	cd examples/satellite && rm -rf granules flags stats errors results limits.csv .stoker

$(dev)/.ready: requirements/install requirements/build.lock requirements/dev.lock
	@requirements/install $(dev) requirements/dev.lock
	@touch $@

$(demo)/.ready: requirements/install requirements/build.lock requirements/demo.lock
	@requirements/install $(demo) requirements/demo.lock
	@touch $@
