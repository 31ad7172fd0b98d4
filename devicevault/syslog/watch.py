"""From a message to a device that has to be collected; everything else is counted and forgotten."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

from devicevault.syslog.message import parse
from devicevault.syslog.quiet import QuietPeriods
from devicevault.syslog.senders import Senders
from devicevault.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between two lines about senders nobody knows.
UNKNOWN_EVERY_S: Final = 3600.0


@dataclass
class Counts:
    """What came in since the start."""

    messages: int = 0
    #: Messages of senders the inventory does not know.
    unknown: int = 0
    #: Messages of a change, of a known device.
    changes: int = 0


class ChangeWatch:
    """Takes messages; one of a change makes its device wait for the end of its quiet period."""

    def __init__(self, periods: QuietPeriods) -> None:
        self.counts = Counts()
        #: Replaced whole, from another thread.
        self.senders = Senders()
        self._periods = periods
        self._last_unknown = ""
        self._unknown_told = 0
        self._unknown_due_at = 0.0

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

    def tell_unknown(self) -> None:
        """Say now and then how many messages nobody can be found for; not one line for each."""
        unknown = self.counts.unknown - self._unknown_told
        if unknown and time.monotonic() >= self._unknown_due_at:
            logger.warning(
                "%s came from where no device has its address, such as %s; see syslog.relays if that is a relay",
                counted(unknown, "message"),
                self._last_unknown,
            )
            self._unknown_told += unknown
            self._unknown_due_at = time.monotonic() + UNKNOWN_EVERY_S
