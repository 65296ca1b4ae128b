# `make` lists the targets. Each target installs what it needs. Set these as `make serve NAME=value` or in the
# environment:
#
#   TORCH_INDEX   where a Linux machine gets torch: https://download.pytorch.org/whl/cpu (default), or for an NVIDIA
#                 GPU https://download.pytorch.org/whl/cu130. make remembers the choice until `make clean`.
#   LOCK          dev (default), or sentence to add sentence-transformers. make remembers this choice too.
#   PYTHON        the Python that makes .venv: 3.11 or newer
#   ARGS          more arguments for pytest: make test ARGS=tests/model
#   WORKERS       processes that share `make test`: 2 (default)
#   KILLS         how often `make crash` kills the service on SQLite: 1000 (default). It kills the service on PostgreSQL
#                 a fifth as often, and PostgreSQL itself a twentieth as often.
#   KINDRED_*     settings of the service (KINDRED_PORT=8001 ...)

-include .venv/setup.mk
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
LOCK ?= dev
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN := .venv/bin
KINDRED_ARTIFACTS ?= artifacts
# By default glibc gives each thread its own heap, and no thread can reuse what another has freed.
export MALLOC_ARENA_MAX ?= 2
# The stamp names the content of these files, so a second `make test` installs nothing.
stamp = .venv/setup-$(shell cat pyproject.toml scripts/install.sh requirements/torch.lock requirements/$(1).lock | cksum | cut -d ' ' -f 1)-$(1)-$(notdir $(TORCH_INDEX:/=))
STAMP := $(call stamp,$(LOCK))
# Serving needs half the packages that testing needs. If the test environment exists, the service uses it.
RUN_STAMP := $(or $(wildcard $(STAMP)),$(call stamp,$(patsubst dev,run,$(LOCK))))

# `make soak` lasts SECONDS; `make sigterm` stops the service TIMES times.
SECONDS ?= 3600
TIMES ?= 100
AUDIT_SERVICE ?= pypi

.PHONY: help setup demo serve test campaigns pictures fuzz crash load sigterm soak audit sbom check format lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

$(sort $(STAMP) $(RUN_STAMP)):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (or name one: make PYTHON=/path/to/python3)"; exit 1; }
	TORCH_INDEX='$(TORCH_INDEX)' PYTHON='$(PYTHON)' sh scripts/install.sh .venv $(if $(filter $@,$(STAMP)),$(LOCK),run)
	@rm -f .venv/setup-*
	@printf 'TORCH_INDEX ?= %s\nLOCK ?= %s\n' '$(TORCH_INDEX)' '$(LOCK)' >.venv/setup.mk
	@touch $@

setup: $(STAMP) ## make the virtual environment .venv

demo: $(RUN_STAMP) ## train an artifact on the synthetic demo data set, unless there is one
	@test -e '$(KINDRED_ARTIFACTS)/current' || test -e '$(KINDRED_ARTIFACTS)/manifest.json' \
		|| $(BIN)/python -m training train --data demo --output '$(KINDRED_ARTIFACTS)' --threads 1

serve: demo ## start the service on http://127.0.0.1:8000, with a demo artifact unless there is another
	@export KINDRED_ARTIFACTS='$(KINDRED_ARTIFACTS)'; \
		exec $(BIN)/python scripts/welcome.py $(BIN)/python -m service

# Random order and two workers show tests that lean on others. A file stays with one worker, which has its own servers.
WORKERS ?= 2
test: $(STAMP) ## test every module: under 8 minutes
	@sh scripts/install-postgres.sh
	@sh scripts/install-chromium.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

campaigns: $(STAMP) ## test the whole: kills, power cuts, full disks, fuzzing, load, swaps, real data; each in short
	@sh scripts/install-postgres.sh
	@sh scripts/install-chromium.sh
	$(BIN)/python -m pytest tests/campaigns $(ARGS)

pictures: $(STAMP) demo ## take the pictures of the console in docs/
	@sh scripts/install-chromium.sh
	KINDRED_DEMO='$(abspath $(KINDRED_ARTIFACTS))' KINDRED_PICTURES=docs $(BIN)/python -m pytest tests/campaigns/test_console_real.py -k demo

fuzz: $(STAMP) ## try 10,000 damaged artifacts and 50,000 random requests on each database: an hour
	@sh scripts/install-postgres.sh
	KINDRED_DAMAGES=10000 $(BIN)/python -m pytest tests/campaigns/fuzz/test_artifact_damage.py
	KINDRED_FUZZ_CASES=50000 $(BIN)/python -m pytest -s tests/campaigns/fuzz/test_schemathesis.py tests/campaigns/fuzz/test_nasty.py

KILLS ?= 1000
crash: $(STAMP) ## kill the service while it writes: 1,000 times on SQLite, 250 on PostgreSQL; 50 power cuts; a full disk
	@sh scripts/install-postgres.sh
	KINDRED_KILLS='$(KILLS)' $(BIN)/python -m pytest -s -rs tests/campaigns/crash/test_sqlite.py tests/campaigns/crash/test_postgresql.py \
		tests/campaigns/crash/test_power_cut.py tests/campaigns/crash/test_full_disk.py

sigterm: $(STAMP) demo ## stop the service under load TIMES=100 times: no request may be lost
	$(BIN)/python -m benchmarks.sigterm --artifacts '$(KINDRED_ARTIFACTS)' --times $(TIMES)

soak: $(STAMP) demo ## mixed load for SECONDS=3600: memory, threads and file descriptors must stay flat
	$(BIN)/python -m benchmarks.soak --artifacts '$(KINDRED_ARTIFACTS)' --seconds $(SECONDS)

load: $(STAMP) demo ## measure throughput beside a bare endpoint, then overload (ARGS='--seconds 600' for longer)
	$(BIN)/python -m benchmarks.throughput --artifacts '$(KINDRED_ARTIFACTS)'
	$(BIN)/python -m benchmarks.overload --artifacts '$(KINDRED_ARTIFACTS)' $(ARGS)

check: $(STAMP) ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/mypy --strict scripts/welcome.py
	$(BIN)/mypy --strict scripts/audit_latest.py

format: $(STAMP) ## format the code and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes from its own index, so requirements/torch.lock is written by hand; this locks the packages that the CPU
# build of torch needs. An old environment is good enough here, so this does not install the new pyproject.toml first.
lock: $(if $(wildcard $(BIN)/python),,$(STAMP)) ## write requirements/*.lock (but torch.lock) anew after a change of pyproject.toml
	@test '$(notdir $(TORCH_INDEX:/=))' = cpu || { echo 'make lock needs the CPU build of torch (make clean first)'; exit 1; }
	$(BIN)/python -m pip install --quiet uv==0.13.9
	@set -e; in=$$(mktemp -d); trap 'rm -rf "$$in"' EXIT; echo torch >"$$in/excluded"; \
	$(BIN)/python -c 'from importlib.metadata import requires; print(*(r for r in requires("torch") if "extra ==" not in r), sep="\n")' \
		>"$$in/torch.in"; \
	compile() { echo "requirements/$$1.lock"; name=$$1; shift; \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --excludes "$$in/excluded" -o requirements/$$name.lock \
		pyproject.toml "$$in/torch.in" "$$@" >/dev/null; }; \
	compile dev --extra dev; \
	compile run --extra serve --extra postgres --extra train -c requirements/dev.lock; \
	compile sentence --all-extras -c requirements/dev.lock

# These two tools have their own environment, so they do not list their own packages. torch goes by its release.
AUDIT := .venv/tools/audit-2.10.1-7.5.0
$(AUDIT):
	$(PYTHON) -m venv .venv/tools
	.venv/tools/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@
everything = { cat requirements/run.lock; sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml; }

# --strict: a package that cannot be looked up is an error.
audit: $(AUDIT) ## look for known vulnerabilities of the image's packages (asks PyPI; AUDIT_SERVICE=osv: osv.dev; latest: scripts/audit_latest.py)
	@in=$$(mktemp); trap 'rm -f "$$in"' EXIT; $(everything) | sed 's/ \\$$//; /^ *--hash/d' >"$$in"; \
	if [ '$(AUDIT_SERVICE)' = latest ]; then .venv/tools/bin/python scripts/audit_latest.py "$$in"; else \
	.venv/tools/bin/pip-audit --strict --disable-pip --no-deps -s $(AUDIT_SERVICE) -r "$$in" $(AUDIT_ARGS); fi

sbom: $(AUDIT) ## write sbom.json, the packages of the image as CycloneDX
	@$(everything) | .venv/tools/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
		--output-format JSON --output-reproducible -o sbom.json -
	@echo sbom.json

clean: ## remove .venv and caches; artifacts/ and var/ stay
	rm -rf .venv build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find model service training tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
