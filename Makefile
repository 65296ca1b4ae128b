# Kindred. `make` lists the targets; each does the set-up it needs. Settings, as `make serve NAME=value` or environment:
#
#   TORCH_INDEX   which torch a Linux machine gets: https://download.pytorch.org/whl/cpu (default), or for an NVIDIA
#                 GPU https://download.pytorch.org/whl/cu130. The choice is kept until `make clean`.
#   LOCK          dev (default), or sentence: with sentence-transformers. Kept likewise.
#   PYTHON        the Python that makes .venv: 3.11 or newer
#   ARGS          more arguments for pytest
#   KILLS         kills of `make crash`: 1000 (default) on SQLite, a fifth of that on PostgreSQL, a twentieth of its server
#   KINDRED_*     the service's settings (KINDRED_PORT=8001 ...)

-include .venv/setup.mk
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
LOCK ?= dev
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
KINDRED_ARTIFACTS ?= artifacts
# glibc would give each thread a heap of its own, and memory that is free in one is of no use to the others.
export MALLOC_ARENA_MAX ?= 2
# One environment per content of these files: a second `make test` installs nothing.
stamp = .venv/setup-$(shell cat pyproject.toml scripts/install.sh requirements/torch.lock requirements/$(1).lock | cksum | cut -d ' ' -f 1)-$(1)-$(notdir $(TORCH_INDEX:/=))
STAMP := $(call stamp,$(LOCK))
# To serve takes half the packages that to test takes; where the whole environment is there, it serves too.
RUN_STAMP := $(or $(wildcard $(STAMP)),$(call stamp,$(patsubst dev,run,$(LOCK))))

# How long `make soak` lasts, in seconds, and how often `make sigterm` stops the service.
SECONDS ?= 3600
TIMES ?= 100
AUDIT_SERVICE ?= pypi

.PHONY: help setup demo serve test campaigns pictures fuzz crash load sigterm soak audit sbom check format lock clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

$(sort $(STAMP) $(RUN_STAMP)):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (or name one: make PYTHON=/path/to/python3)"; exit 1; }
	TORCH_INDEX='$(TORCH_INDEX)' PYTHON='$(PYTHON)' sh scripts/install.sh .venv $(if $(filter $@,$(STAMP)),$(LOCK),run)
	@rm -f .venv/setup-*
	@printf 'TORCH_INDEX ?= %s\nLOCK ?= %s\n' '$(TORCH_INDEX)' '$(LOCK)' >.venv/setup.mk
	@touch $@

setup: $(STAMP) ## the virtual environment .venv

demo: $(RUN_STAMP) ## an artifact trained on the synthetic demo data set, where there is none yet
	@test -e '$(KINDRED_ARTIFACTS)/current' || test -e '$(KINDRED_ARTIFACTS)/manifest.json' \
		|| $(BIN)/python -m training train --data demo --output '$(KINDRED_ARTIFACTS)' --threads 1

serve: demo ## the service on http://127.0.0.1:8000, with a demo artifact where there is none
	@export KINDRED_ARTIFACTS='$(KINDRED_ARTIFACTS)'; \
		exec $(BIN)/python scripts/welcome.py $(BIN)/python -m service

test: $(STAMP) ## the tests of every module: under 8 minutes
	@sh scripts/install-postgres.sh
	@sh scripts/install-chromium.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

campaigns: $(STAMP) ## kills, power cuts, full disks, fuzzing, load, swaps and real data, each in its short form
	@sh scripts/install-postgres.sh
	@sh scripts/install-chromium.sh
	$(BIN)/python -m pytest tests/campaigns $(ARGS)

pictures: $(STAMP) demo ## the pictures of the console in docs/, taken by its tests on the demo
	@sh scripts/install-chromium.sh
	KINDRED_DEMO='$(abspath $(KINDRED_ARTIFACTS))' KINDRED_PICTURES=docs $(BIN)/python -m pytest tests/campaigns/test_console_real.py -k demo

fuzz: $(STAMP) ## 10,000 damaged artifacts, 50,000 requests made up by Schemathesis on each database: an hour
	@sh scripts/install-postgres.sh
	KINDRED_DAMAGES=10000 $(BIN)/python -m pytest tests/campaigns/fuzz/test_artifact_damage.py
	KINDRED_FUZZ_CASES=50000 $(BIN)/python -m pytest -s tests/campaigns/fuzz/test_schemathesis.py tests/campaigns/fuzz/test_nasty.py

KILLS ?= 1000
crash: $(STAMP) ## kills in the middle of writes: 1,000 on SQLite, 250 with PostgreSQL; 50 power cuts; a full disk
	@sh scripts/install-postgres.sh
	KINDRED_KILLS='$(KILLS)' $(BIN)/python -m pytest -s -rs tests/campaigns/crash/test_sqlite.py tests/campaigns/crash/test_postgresql.py \
		tests/campaigns/crash/test_power_cut.py tests/campaigns/crash/test_full_disk.py

sigterm: $(STAMP) demo ## the service stopped under load, TIMES=100 times: no request may be lost
	$(BIN)/python -m benchmarks.sigterm --artifacts '$(KINDRED_ARTIFACTS)' --times $(TIMES)

soak: $(STAMP) demo ## mixed load for SECONDS=3600: memory, threads and file descriptors have to stay flat
	$(BIN)/python -m benchmarks.soak --artifacts '$(KINDRED_ARTIFACTS)' --seconds $(SECONDS)

load: $(STAMP) demo ## throughput beside a bare endpoint, then overload (ARGS='--seconds 600' for longer)
	$(BIN)/python -m benchmarks.throughput --artifacts '$(KINDRED_ARTIFACTS)'
	$(BIN)/python -m benchmarks.overload --artifacts '$(KINDRED_ARTIFACTS)' $(ARGS)

check: $(STAMP) ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/mypy --strict scripts/welcome.py
	$(BIN)/mypy --strict scripts/audit_latest.py

format: $(STAMP) ## format and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes from its own index: requirements/torch.lock is written by hand. What its CPU build needs is locked here.
# Any environment with torch will do: the present one lacks what pyproject.toml has just been given.
lock: $(if $(wildcard $(BIN)/python),,$(STAMP)) ## new requirements/*.lock (but torch.lock) after a change of pyproject.toml
	@test '$(notdir $(TORCH_INDEX:/=))' = cpu || { echo 'make lock needs the CPU build of torch (make clean first)'; exit 1; }
	$(BIN)/python -m pip install --quiet uv==0.13.9
	@set -e; in=$$(mktemp -d); trap 'rm -rf "$$in"' EXIT; echo torch >"$$in/excluded"; \
	$(BIN)/python -c 'from importlib.metadata import requires; print(*(r for r in requires("torch") if "extra ==" not in r), sep="\n")' \
		>"$$in/torch.in"; \
	compile() { echo "requirements/$$1.lock"; name=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --excludes "$$in/excluded" -o requirements/$$name.lock \
		pyproject.toml "$$in/torch.in" "$$@" >/dev/null; }; \
	compile dev --extra postgres --extra training --extra report --extra dev; \
	compile run --extra postgres --extra training -c requirements/dev.lock; \
	compile sentence --all-extras -c requirements/dev.lock

# An environment of their own: what these two need is no part of what they look at. torch by the name of its release.
AUDIT := .venv/tools/audit-2.10.1-7.5.0
$(AUDIT):
	$(PYTHON) -m venv .venv/tools
	.venv/tools/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@
everything = { cat requirements/run.lock; sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml; }

# --strict: a package that could not be looked up is an error and not a silence.
audit: $(AUDIT) ## known vulnerabilities of what the image holds (asks PyPI; AUDIT_SERVICE=osv: osv.dev; latest: scripts/audit_latest.py)
	@in=$$(mktemp); trap 'rm -f "$$in"' EXIT; $(everything) | sed 's/ \\$$//; /^ *--hash/d' >"$$in"; \
	if [ '$(AUDIT_SERVICE)' = latest ]; then .venv/tools/bin/python scripts/audit_latest.py "$$in"; else \
	.venv/tools/bin/pip-audit --strict --disable-pip --no-deps -s $(AUDIT_SERVICE) -r "$$in" $(AUDIT_ARGS); fi

sbom: $(AUDIT) ## sbom.json: what the image holds, as CycloneDX
	@$(everything) | .venv/tools/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-format JSON --output-reproducible -o sbom.json -
	@echo sbom.json

clean: ## remove .venv and caches; artifacts/ and var/ stay
	rm -rf .venv build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find model service training tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
