"""Tell the journal of everything that was opened with the vault's key: what, and by whom.

``journalctl SYSLOG_IDENTIFIER=devicevault-open`` shows it. journald adds by itself which user and process it was, which
nobody can make up.
"""

from __future__ import annotations

import logging
import os
from typing import Final

from logging_journald import JournaldTransport

from devicevault.daemons.journal import priority_of

IDENTIFIER: Final = "devicevault-open"


def record_opening(what: str, *, by: str, device: str = "", key_id: str = "") -> bool:
    """Record what is about to be opened. Returns whether a journal took it: a host elsewhere may have none."""
    fields = [
        ("MESSAGE", f"{by} opens {what}"),
        ("PRIORITY", priority_of(logging.WARNING)),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("SYSLOG_PID", os.getpid()),
        ("OPENED_BY", by),
        *((name, value) for name, value in (("DEVICE", device), ("KEY_ID", key_id)) if value),
    ]
    try:
        JournaldTransport().send(fields)
    except OSError:
        return False
    return True
