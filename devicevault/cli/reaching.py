"""One session on a device from this host, of which nothing is stored: for trials, and to find out what it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from devicevault.collector.access import Access
from devicevault.collector.collect import CollectorContext, Findings
from devicevault.collector.deadline import Limit
from devicevault.collector.plugged import Readable
from devicevault.collector.seal import Sealer
from devicevault.collector.session import Session
from devicevault.collector.steps import Onlooker, Steps
from devicevault.credentials import CredentialStore
from devicevault.dispatch import Run, build_request
from devicevault.errors import ConfigurationError, ServiceUnavailable
from devicevault.inventory import Device
from devicevault.platforms import Platforms
from devicevault.platforms.page import Platform
from devicevault.settings import Settings


@dataclass(frozen=True)
class Way:
    """Opens one session on a device, on its own way there and with its own credentials."""

    steps: Steps
    _access: Access
    _context: CollectorContext
    _limit: Limit

    def session(self, page: Platform) -> AbstractContextManager[Readable]:
        """What the page reads from: a command line, or what its plugin opens."""
        if page.plugin:
            return self._access.plugged(page, self._context.plugins.fit(page), self._limit)
        return self.command_line(page)

    def command_line(self, page: Platform) -> AbstractContextManager[Session]:
        return self._access.session(page, self._limit)


@contextmanager
def reaching(
    device: Device, platforms: Platforms, settings: Settings, onlooker: Onlooker | None = None
) -> Iterator[Way]:
    """The way to a device.

    Raises :class:`~devicevault.errors.ConfigurationError` when this host lacks a worker's credentials.
    """
    # Without a handler, Python would print the collector's warnings between the lines; the answer tells them anyway.
    logging.getLogger("devicevault").addHandler(logging.NullHandler())
    # Nothing is sealed, so no vault key is needed.
    context = CollectorContext(settings, CredentialStore.load(settings.credentials_file), platforms, Sealer((), b""))
    run = Run("", "", "trial", datetime.now(UTC))
    request = build_request(device, run, settings, host_keys=_pinned(device, settings))
    steps = Steps(request, onlooker=onlooker)
    access = Access(request, context, steps, Findings(address=request.address))
    with Limit(request.deadline_s) as limit:
        yield Way(steps, access, context, limit)


def _pinned(device: Device, settings: Settings) -> tuple[str, ...]:
    """The device's host keys, where this host has the vault's database."""
    from devicevault.store import open_store, reader

    try:
        with open_store(settings.database_url) as store, store.reading() as session:
            return reader.pinned_host_keys(session, [device.device_id]).get(device.device_id, ())
    except (ConfigurationError, ServiceUnavailable):
        return ()
