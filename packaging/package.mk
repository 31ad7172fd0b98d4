# The Debian package, and the tests of it on real machines. RELEASE is bookworm (Debian 12) or trixie (13).

RELEASE ?= bookworm

# What boots a machine, and looks at its pages.
MACHINE_PACKAGES := mmdebstrap systemd-container iproute2 chromium

.PHONY: deb lint-deb machine-packages machines test-system lock-package

deb:
	packaging/build-deb $(RELEASE)

lint-deb: deb
	@packaging/ensure-packages lintian
	lintian --fail-on error,warning --tag-display-limit 0 \
	  $$(ls -t dist/devicevault_*~deb$(if $(filter trixie,$(RELEASE)),13,12)_amd64.deb | head -n 1)

machine-packages:
	@packaging/ensure-packages $(MACHINE_PACKAGES) lintian

# What all test machines of the release begin with; kept for every later run.
machines: venv machine-packages
	$(BIN)/python -m tests.system.machine $(RELEASE)

# As root: boots machines with systemd in them.
test-system: venv lint-deb machines
	DEVICEVAULT_TEST_RELEASE=$(RELEASE) CI=true $(BIN)/pytest -m system -n 2 --dist loadfile $(PYTEST_ARGS) tests/system

# By the oldest Python the package is for: a newer one leaves out what only that one needs.
lock-package:
	@packaging/ensure-packages python3-venv
	/usr/bin/python3 -m venv .cache/pip-tools
	.cache/pip-tools/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	for lock in 'runtime pyproject.toml' 'build packaging/requirements-build.in'; do \
	  set -- $$lock; \
	  .cache/pip-tools/bin/pip-compile --quiet --constraint $(LOCK) --allow-unsafe --generate-hashes --strip-extras \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --output-file packaging/requirements-$$1.lock $$2 || exit 1; \
	done
	sed -i '/^sdnotify==/,/[^\\]$$/d' packaging/requirements-runtime.lock
