"""Wait, while a daemon starts, for a service it can't do without."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from devicevault.daemons.service import notify_status
from devicevault.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

RETRY_S: Final = 3.0


def wait_for(ask: Callable[[], object], meanwhile: str, ends_at: float) -> None:
    """Ask until it raises ServiceUnavailable no more; the log and ``systemctl status`` tell for what we wait.

    Raises :class:`ServiceUnavailable` itself once ``ends_at`` (``time.monotonic``) is over: systemd tries again.
    """
    told = ""
    while True:
        try:
            ask()
        except ServiceUnavailable as error:
            if time.monotonic() + RETRY_S > ends_at:
                raise
            if told != str(error):
                told = str(error)
                logger.warning("%s; %s", told, meanwhile)
            notify_status(f"waiting: {told}")
            time.sleep(RETRY_S)
        else:
            return
