"""Wait, while a daemon starts, for a service it can't do without."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Final

from devicevault.collector.seal import Sealer
from devicevault.daemons.service import notify_status
from devicevault.errors import ConfigurationError, ServiceUnavailable
from devicevault.settings import Settings

logger = logging.getLogger(__name__)

RETRY_S: Final = 3.0
#: How long keys may be in the making: the consumer's first start makes them before anything else.
KEYS_WITHIN_S: Final = 30.0
KEYS_RETRY_S: Final = 0.5


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


def wait_for_keys(settings: Settings, within_s: float = KEYS_WITHIN_S) -> None:
    """Wait a while for keys that are missing, and no more: whoever reads them says what is wrong with them.

    On the vault's host the consumer makes them at its first start, which may be the worker's first start too.
    """
    vault = settings.vault
    if vault.originals == "plain" or all(map(os.path.lexists, (vault.public_key, vault.digest_key))):
        return
    logger.warning(
        "%s or %s is missing; waiting %.0f s, in case this host's consumer is about to make them",
        vault.public_key,
        vault.digest_key,
        within_s,
    )
    notify_status("waiting for the vault's keys")
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        try:
            Sealer.from_settings(settings)
        except ConfigurationError:
            time.sleep(KEYS_RETRY_S)  # not there, or only half written
        else:
            return
