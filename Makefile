# make demo   see lading work, on a fresh machine          make test   all tests (what CI runs)
# make stop   stop the demo's server                       make check  style, types, layers, fast tests: under a minute
# make bench  the figures, beside their raw limits         make help   every target
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= .demo

.PHONY: help demo stop clean-demo install install-dev test check test-all bench docs

help:             ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 16

demo: install     ## run the main job before your eyes; leaves a server running
	@DEMO=$(DEMO) BIN=$(BIN) scripts/demo.sh

stop:             ## stop the demo's server
	@DEMO=$(DEMO) scripts/stop.sh

clean-demo: stop  ## stop it and throw its data away
	rm -rf $(DEMO)

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) '.[server,fsspec]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) '.[dev]'
	@touch $@ $(VENV)/.installed

test: install-dev ## everything that can be tested here
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@scripts/servers.sh
	$(BIN)/pytest -n 2 --dist worksteal -m 'not heavy'

check: install-dev  ## style, types, layers, fast tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m 'not heavy and not slow'

test-all: install-dev  ## with what takes minutes or gigabytes
	@scripts/servers.sh heavy
	$(BIN)/pytest -n 2 --dist worksteal

bench: install-dev  ## measure (FILES=10000000 for ten million; METADATA=500000 for fewer than five there)
	$(BIN)/python -m bench $(if $(FILES),--files $(FILES))
	$(BIN)/python -m bench.metadata $(if $(METADATA),--files $(METADATA))
	$(BIN)/python -m bench.storage
	$(BIN)/python -m bench.transfers

docs: install-dev ## write the generated parts of docs/reference
	$(BIN)/python -m docs.generate
