# Everything a newcomer needs: `make demo`, `make test`. `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test attacks fuzz check faults soak bench run clean
unexport VIRTUAL_ENV
# Where nothing may be kept, every process compiles all that it imports: seconds for each of hundreds.
unexport PYTHONDONTWRITEBYTECODE
export UV_PROJECT_ENVIRONMENT := .venv
# git, pip and uv trust the same CAs.
export UV_SYSTEM_CERTS ?= 1

# uv from the PATH if it works there, else a private copy in .uv/.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
ifeq ($(UV),)
UV := .uv/bin/uv
PRIVATE_UV := .uv/bin/uv
endif
READY := .venv/.ready
IN_ENV = $(UV) run --quiet --no-sync
SAY = echo >&2 interlock:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## prepare the environment (every other target does so by itself)

demo: $(READY) ## run the whole way of a call on this machine (ARGS=--json: as one object)
	@$(IN_ENV) interlock demo $(ARGS)

test: $(READY) ## run the whole test suite (ARGS="-k ledger": part of it)
	@$(IN_ENV) pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

attacks: $(READY) ## every attack in every setting, and what came of it (ARGS="--report FILE": as JSON)
	@INTERLOCK_ATTACKS=whole $(IN_ENV) pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile tests/attacks $(ARGS)

fuzz: $(READY) ## the properties of what reads hostile input, with many more examples
	@$(IN_ENV) pytest --hypothesis-profile fuzz tests/calls/test_fuzz.py tests/api/test_fuzz.py tests/broker/test_*.py $(ARGS)

check: $(READY) ## lint, format, types, architecture and documentation
	@$(IN_ENV) ruff check
	@$(IN_ENV) ruff format --check
	@$(IN_ENV) mypy
	@$(IN_ENV) pytest tests/test_architecture.py tests/test_docs.py

faults: $(READY) ## kill, fill, lock and break the ledger for minutes, more often than the tests do
	@INTERLOCK_FAULT_ROUNDS=25 INTERLOCK_FAULT_SECONDS=30 $(IN_ENV) pytest -o faulthandler_timeout=900 tests/faults $(ARGS)

soak: $(READY) ## memory over many calls, an agent beside a greedy one (ARGS="--minutes 30": and over time)
	@$(IN_ENV) python -m benchmarks.soak $(ARGS)

OUT ?= .bench
bench: $(READY) ## what a governed call costs: tables, JSON and charts in OUT (.bench; ARGS="--rounds 1": in haste)
	@missed=0; for name in decision capability throughput growth peers ledger; do \
		$(IN_ENV) python -m benchmarks.$$name $(ARGS) --out "$(OUT)/$$name.json" || missed=1; \
	done; $(IN_ENV) python -m benchmarks.page "$(OUT)" && exit $$missed

run: $(READY) ## start the front door, state in ~/.interlock (ARGS="--set interlock_mode=enforce")
	@$(IN_ENV) mitmdump -s addons/governance.py $(ARGS)

clean: ## remove what make made here, never ~/.interlock
	rm -rf .venv .uv dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find addons broker interlock tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The Python of .python-version, found or downloaded; else any that the project runs on.
$(READY): pyproject.toml uv.lock .python-version | $(PRIVATE_UV)
	@$(SAY) "preparing .venv"
	@wanted=$$(cat .python-version); python=$$wanted; \
	if ! $(UV) python find --quiet "$$wanted" >/dev/null 2>&1 \
	&& ! UV_PYTHON_INSTALL_BIN=0 $(UV) python install --quiet "$$wanted" 2>/dev/null; then \
		python='>=3.12'; \
		$(UV) python find --quiet --no-python-downloads "$$python" >/dev/null 2>&1 || { \
			$(SAY) "no Python 3.12 or newer here, and $$wanted could not be downloaded: install one, then run make again"; \
			exit 1; }; \
		$(SAY) "no Python $$wanted here and none could be downloaded: taking another one $$python"; \
	fi; \
	$(UV) sync --locked --quiet --compile-bytecode --python "$$python"
	@touch $@

# A Python without venv (Debian's, fresh) gets uv with the pip that uv.lock names.
define FETCH_PIP
import hashlib, pathlib, re, sys, urllib.request
root = pathlib.Path(sys.argv[1])
named = re.search(r'url = "([^"]+/pip-[^"/]+\.whl)", hash = "sha256:(\w+)"', (root / "uv.lock").read_text())
wheel = urllib.request.urlopen(named[1], timeout=60).read()
if hashlib.sha256(wheel).hexdigest() != named[2]:
    sys.exit("pip is not the one that uv.lock names")
(root / ".uv" / "pip.whl").write_bytes(wheel)
endef

# From / because a version manager's python3 obeys .python-version, which may name one not installed.
.uv/bin/uv: export FETCH_PIP := $(value FETCH_PIP)
.uv/bin/uv:
	@$(SAY) "uv is not on the PATH, installing it into .uv"
	@here=$$PWD; rm -rf .uv; cd /; \
	if python3 -m venv "$$here/.uv" >/dev/null 2>&1; then \
		"$$here/.uv/bin/python" -m pip install -qq 'uv>=0.9'; \
	else \
		rm -rf "$$here/.uv"; mkdir "$$here/.uv"; \
		python3 -c "$$FETCH_PIP" "$$here" 2>/dev/null \
		&& python3 "$$here/.uv/pip.whl/pip" install -qq --target "$$here/.uv" 'uv>=0.9'; \
	fi || { $(SAY) "could not install uv: it takes a python3 with venv and a way to PyPI, or uv itself: https://docs.astral.sh/uv/"; exit 1; }
