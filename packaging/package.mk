# The Debian package, and the tests of it on real machines. RELEASE is bookworm (Debian 12) or trixie (13).

RELEASE ?= bookworm

.PHONY: deb lint-deb test-system lock-package

deb:
	packaging/build-deb $(RELEASE)

lint-deb: deb
	@packaging/ensure-packages lintian
	lintian --fail-on error,warning --tag-display-limit 0 \
	  $$(ls -t dist/devicevault_*~deb$(if $(filter trixie,$(RELEASE)),13,12)_amd64.deb | head -n 1)

# As root: boots machines with systemd in them.
test-system: venv deb
	@packaging/ensure-packages mmdebstrap systemd-container chromium
	DEVICEVAULT_TEST_RELEASE=$(RELEASE) CI=true $(BIN)/pytest -m system $(PYTEST_ARGS) tests/system

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
