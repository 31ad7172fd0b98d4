"""Asks for the collection of devices that were changed, once they are quiet."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from devicevault import names
from devicevault.celery_app import Application
from devicevault.daemons.service import Progress
from devicevault.dispatch import dispatch
from devicevault.errors import DeviceVaultError
from devicevault.inventory import Device
from devicevault.settings import Settings
from devicevault.store import Store, open_store
from devicevault.store.runs import devices_asked_for
from devicevault.syslog.quiet import Change, QuietPeriods
from devicevault.syslog.senders import Senders
from devicevault.wording import counted

logger = logging.getLogger(__name__)

#: Kind of such a run, and who asks in it: ``syslog:change`` in each row's task identifier.
KIND: Final = "syslog"
ASKED_BY: Final = "change"
#: Seconds between two looks for devices that are quiet.
LOOK_S: Final = 1.0
#: Seconds before it asks again where broker or database was away: at first, and at most.
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
#: Names in a line about devices that were not asked for.
NAMES: Final = 10


class Asker:
    """Asks as long as the ``with`` block lasts, in a thread of its own; at its end for every device still waited for.

    A device whose collection waits or runs already is asked for only when that has ended: what it reads may be from
    before the change.
    """

    def __init__(
        self,
        settings: Settings,
        app: Application,
        periods: QuietPeriods,
        senders: Callable[[], Senders],
        *,
        turned: Callable[[], None] = lambda: None,
    ) -> None:
        """``turned`` is called after each look, about once a second."""
        self.settings = settings
        self.progress = Progress()
        #: Why devices that are due are not asked for; empty when they are.
        self.trouble = ""
        #: Collections asked for since the start.
        self.asked = 0
        self._app = app
        self._periods = periods
        self._senders = senders
        self._turned = turned
        self._pause_s = FIRST_PAUSE_S
        self._again_at = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asking", daemon=True)

    def __enter__(self) -> Asker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        # Nobody waits for the end of their quiet periods: another message may come when nobody listens.
        left = self._periods.take_all()
        if left and not self._ask(left, self._dispatch_all):
            told = ", ".join(device.name for device in self._devices(left)[:NAMES])
            logger.warning("not asked for, and forgotten: %s: %s", counted(len(left), "changed device"), told)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.progress.made()
            if time.monotonic() >= self._again_at and (due := self._periods.take_due(time.monotonic())):
                self._ask(due, self._dispatch_free)
            self._turned()

    def _ask(self, due: Mapping[str, Change], ask: Callable[[Store, Mapping[str, Change]], None]) -> bool:
        """Whether it could be asked for them; if not, they are waited for again."""
        try:
            with open_store(self.settings.database_url, migrate=True) as store:
                ask(store, due)
            trouble = ""
        except DeviceVaultError as error:
            trouble = str(error)
        except Exception:
            logger.exception("%s can't be asked for", counted(len(due), "changed device"))
            trouble = "the journal tells why nothing can be asked for"
        if trouble:
            self._periods.put(due)
            self._again_at = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        else:
            self._pause_s = FIRST_PAUSE_S
        if trouble and trouble != self.trouble:
            logger.warning("changed devices can't be asked for: %s", trouble)
        elif self.trouble and not trouble:
            logger.info("changed devices can be asked for again")
        self.trouble = trouble
        return not trouble

    def _dispatch_free(self, store: Store, due: Mapping[str, Change]) -> None:
        with store.reading() as session:
            busy = devices_asked_for(session, due, datetime.now(UTC))
        self._dispatch_all(store, {device_id: change for device_id, change in due.items() if device_id not in busy})
        now = time.monotonic()
        self._periods.put({device_id: Change(now, now, due[device_id].messages) for device_id in busy})
        for device_id in busy:
            logger.debug("%s: told of changes while its collection waits or runs: asked for after that", device_id)

    def _dispatch_all(self, store: Store, due: Mapping[str, Change]) -> None:
        devices = self._devices(due)
        if not devices:
            return
        run = dispatch(
            devices,
            settings=self.settings,
            store=store,
            app=self._app,
            asked_by=ASKED_BY,
            kind=KIND,
            priority=names.PRIORITY_CHANGE,
        )
        self.asked += len(devices) - len(run.not_taken)
        for device in devices:
            logger.info(
                "%s: asked for, since it told of changes (%s)",
                device.name,
                counted(due[device.device_id].messages, "message"),
                extra={"device": device.name, "group": device.group, "run_id": run.run_id},
            )
        for reason, count in Counter(run.not_taken.values()).items():
            # Their rows say so too; asked for again and again, there would be ever more of them.
            logger.warning("%s not asked for: %s", counted(count, "changed device"), reason)

    def _devices(self, due: Mapping[str, Change]) -> list[Device]:
        """Those of them that the inventory still knows."""
        known = self._senders().by_id
        return [known[device_id].device for device_id in due if device_id in known]
