# The two commands of the README are `make demo` and `make test`; each sets up what it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := packaging/requirements.lock
# What has no wheel; built with the locked setuptools.
SDIST_LOCK := packaging/requirements-sdist.lock

# What the tests start by themselves. Debian's own services of these packages need not run.
TEST_PACKAGES := redis-server rabbitmq-server postgresql openssh-server frr

export PYTEST_ARGS

.DEFAULT_GOAL := help
.PHONY: help venv demo test soak bench lint check lock clean

help:
	@echo 'make demo    see it all work on a simulated fleet, in under a minute'
	@echo 'make test    every test, with real servers and machines (installed through apt when missing)'
	@echo 'make soak    the large campaign of faults, as root; SOAK="--broker redis" for another one'
	@echo 'make bench   how fast it is, side by side with other ways, into docs/performance.md; BENCH="fleet start"'
	@echo 'make lint    ruff and mypy'
	@echo 'make check   lint, and the tests that need no servers'
	@echo 'make venv    the virtual environment in $(VENV)'
	@echo 'make lock    resolve pyproject.toml anew into $(LOCK)'
	@echo 'make deb     the Debian package, in dist/; RELEASE=trixie for Debian 13'
	@echo 'make test-system   the package on machines with systemd; RELEASE=trixie too'
	@echo 'make clean   remove the virtual environment and every cache'

venv: $(VENV)/.complete

# Every wheel is checked against the lock's hashes; only then comes DeviceVault itself, in place.
$(VENV)/.complete: pyproject.toml $(LOCK) $(SDIST_LOCK)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || packaging/ensure-packages python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation --use-pep517 --requirement $(SDIST_LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --editable .
	@touch $@

demo: venv
	$(BIN)/devicevault demo

test: venv
	@packaging/ensure-packages $(TEST_PACKAGES)
	@tests/run

soak: venv
	@packaging/ensure-packages $(TEST_PACKAGES)
	$(BIN)/python -m tests.durability $(SOAK)

# BENCH="start --quick" only tries the measuring itself, and writes nothing.
bench: venv
	@packaging/ensure-packages $(TEST_PACKAGES)
	$(BIN)/python -m tests.bench $(if $(findstring --quick,$(BENCH)),,--write) $(BENCH)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint
	$(BIN)/pytest -m 'not services and not system' -n auto $(PYTEST_ARGS)

# With Debian 12's own Python, the oldest in use: it needs async-timeout, which later ones do without.
lock:
	@/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || packaging/ensure-packages python3-venv
	/usr/bin/python3 -m venv .cache/pip-tools
	.cache/pip-tools/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	.cache/pip-tools/bin/pip-compile --quiet --extra demo --extra dev --allow-unsafe --generate-hashes \
	  --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file $(LOCK) pyproject.toml
	sed -n '/^sdnotify==/,/[^\\]$$/p' $(LOCK) >$(SDIST_LOCK)
	sed -i '/^sdnotify==/,/[^\\]$$/d' $(LOCK)

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info

include packaging/package.mk
