"""Keeps what is known of senders up to the inventory, whose devices and whose names' addresses change by themselves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

from devicevault.errors import ConfigurationError
from devicevault.inventory import Inventory, load_inventory
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.syslog.senders import Addresses, Senders, resolve

logger = logging.getLogger(__name__)

#: Seconds after which inventory and addresses are read again.
ANEW_S: Final = 300.0
#: Seconds its start waits for name servers, so that the message which had systemd start it is recognised.
LOOKED_UP_WITHIN_S: Final = 10.0


class Roster:
    """Reads the inventory at once and, as long as the ``with`` block lasts, again and again, in a thread of its own."""

    def __init__(self, settings: Settings, took: Callable[[Senders], None]) -> None:
        """``took`` gets what is known each time. Raises :class:`ConfigurationError` for a wrong inventory or page."""
        #: Why the inventory as it was stays in force; empty when it is up to date.
        self.trouble = ""
        self._took = took
        self._resolved: Addresses = {}
        self._missing: set[str] = set()
        self._ended = False
        self._wake = threading.Event()
        self._looked_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inventory", daemon=True)
        self.load(settings)

    def __enter__(self) -> Roster:
        self._thread.start()
        self._looked_up.wait(LOOKED_UP_WITHIN_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It may be waiting for a name server; nobody waits for that.
        self._ended = True
        self._wake.set()

    def renew(self, settings: Settings) -> None:
        """Go by these settings. Raises :class:`ConfigurationError`, and goes on as before then."""
        self.load(settings)
        self._wake.set()

    def load(self, settings: Settings) -> None:
        """Read inventory and platform pages anew. Raises :class:`ConfigurationError`."""
        platforms = Platforms.load(settings.platforms_dir)
        inventory = load_inventory(settings, platforms.names(), None)
        self._settings = settings
        self._tell(inventory, platforms)

    def _tell(self, inventory: Inventory, platforms: Platforms) -> None:
        self._inventory, self._platforms = inventory, platforms
        self._took(Senders.of(inventory, platforms, self._settings.syslog.relays, self._resolved))

    def _run(self) -> None:
        while not self._ended:
            self._look_up()
            self._looked_up.set()
            if self._wake.wait(ANEW_S):
                self._wake.clear()
                continue
            trouble = self._read_anew()
            if trouble and trouble != self.trouble:
                logger.warning("the inventory as it was stays in force: %s", trouble)
            self.trouble = trouble

    def _look_up(self) -> None:
        self._resolved = resolve(self._inventory, self._resolved)
        self._tell(self._inventory, self._platforms)
        missing = {name for name, addresses in self._resolved.items() if not addresses}
        for name in sorted(missing - self._missing):
            logger.warning("%s can't be looked up: what it sends is not recognised", name)
        self._missing = missing

    def _read_anew(self) -> str:
        """Why that failed; empty when it did not."""
        try:
            self.load(self._settings)
        except ConfigurationError as error:
            return str(error.faults[0])
        except Exception:
            logger.exception("the inventory can't be read anew")
            return "the journal tells why the inventory can't be read anew"
        return ""
