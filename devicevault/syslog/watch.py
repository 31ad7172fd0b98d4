"""From a message to a device that has to be collected; everything else is counted and forgotten."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Final

from devicevault.syslog.message import parse
from devicevault.syslog.quiet import QuietPeriods
from devicevault.syslog.senders import Senders
from devicevault.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between two lines about what was not taken.
TELL_EVERY_S: Final = 3600.0


@dataclass
class Counts:
    """What came in since the start."""

    messages: int = 0
    #: Messages of senders the inventory does not know.
    unknown: int = 0
    #: Messages of a change, of a known device.
    changes: int = 0
    #: Connections of known senders beyond what there is room for.
    refused: int = 0


class ChangeWatch:
    """Takes messages; one of a change makes its device wait for the end of its quiet period."""

    def __init__(self, periods: QuietPeriods) -> None:
        self.counts = Counts()
        #: Replaced whole, from another thread.
        self.senders = Senders()
        self._periods = periods
        self._last_unknown = self._last_refused = ""
        self._told = Counts()
        self._due_at = 0.0

    def knows(self, address: str) -> bool:
        """Whether messages from this address are of any use."""
        return self.senders.knows(address)

    def take(self, address: str, data: bytes) -> None:
        """One message, from the address it was sent from."""
        self.counts.messages += 1
        senders = self.senders
        message = parse(data) if senders.knows(address) else None
        of = senders.of_message(address, message) if message else ()
        if message is None or not of:
            self.counts.unknown += 1
            self._last_unknown = address
            return
        changed = [watched for watched in of if watched.tells_change(message)]
        self.counts.changes += bool(changed)
        for watched in changed:
            self._periods.told(watched.device.device_id, time.monotonic())

    def refused(self, address: str) -> None:
        """There was no room for a connection from this address."""
        self.counts.refused += 1
        self._last_refused = address

    def tell(self) -> None:
        """Say now and then what was not taken; not one line for each."""
        unknown = self.counts.unknown - self._told.unknown
        refused = self.counts.refused - self._told.refused
        if not (unknown or refused) or time.monotonic() < self._due_at:
            return
        if unknown:
            logger.warning(
                "%s came from where no device has its address, such as %s; see syslog.relays if that is a relay",
                counted(unknown, "message"),
                self._last_unknown,
            )
        if refused:
            logger.warning(
                "%s refused, such as from %s, which has many: messages over UDP need none",
                counted(refused, "connection"),
                self._last_refused,
            )
        self._told = replace(self.counts)
        self._due_at = time.monotonic() + TELL_EVERY_S
