"""``systemctl reload``: SIGHUP makes a daemon read its files anew; a wrong file changes nothing."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Collection
from types import FrameType, TracebackType

from devicevault.daemons.service import notify_reloading
from devicevault.daemons.status import LiveStatus
from devicevault.errors import ConfigurationError, DeviceVaultError
from devicevault.settings import Settings
from devicevault.settings.reload import renewal

logger = logging.getLogger(__name__)


class Reloader:
    """Reloads at each SIGHUP as long as the ``with`` block lasts, in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        apply: Callable[[Settings], None],
        *,
        fixed: Collection[str],
        status: LiveStatus,
    ) -> None:
        """``load`` reads the settings anew and ``apply`` puts them into force; both raise ConfigurationError.

        Settings named in ``fixed`` keep their values until a restart. For the main thread: signals are its affair.
        """
        self.settings = settings
        self._load = load
        self._apply = apply
        self._fixed = frozenset(fixed)
        self._status = status
        self._asked = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        signal.signal(signal.SIGHUP, self._ask)

    def __enter__(self) -> Reloader:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._asked.set()
        self._thread.join()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ended:
                return
            self.reload()

    def reload(self) -> None:
        """Read everything anew. Nothing is raised: a daemon that works goes on working."""
        notify_reloading()
        self._status.trouble = self._try()
        self._status.tell_ready()

    def _try(self) -> str:
        """Why it was refused; empty when it was not."""
        try:
            found = renewal(self.settings, self._load(), self._fixed)
            self._apply(found.settings)
        except DeviceVaultError as error:
            lines = [str(fault) for fault in error.faults] if isinstance(error, ConfigurationError) else [str(error)]
            for line in lines:
                logger.error("not reloaded, the old settings stay in force: %s", line)
            return lines[0]
        except Exception:
            logger.exception("not reloaded, the old settings stay in force")
            return "the journal tells why"
        self.settings = found.settings
        logging.getLogger().setLevel(found.settings.log.level.upper())
        logger.info("reloaded; changed settings: %s", ", ".join(found.changed) or "none")
        for key in found.waiting:
            logger.warning("%s has a new value, which counts after a restart only", key)
        return ""
