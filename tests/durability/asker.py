"""Asks for collections all the time, as people and timers do: what was not taken is asked for again."""

from __future__ import annotations

import queue
import random
import threading
import time
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from devicevault.celery_app import Application
from devicevault.dispatch import dispatch
from devicevault.errors import ServiceUnavailable
from devicevault.inventory import Device, load_inventory
from devicevault.names import PRIORITY_SCHEDULED, QUEUE_MAX_PRIORITY
from devicevault.platforms import Platforms
from devicevault.store import open_store
from tests.durability.devices import Fate, RememberingDevice
from tests.durability.stage import Stage

#: Devices nothing ever befalls: asked for to see whether everything works again.
CANARIES: Final = 4
AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class Asked:
    """A wish to collect that was taken."""

    run_id: str
    devices: tuple[str, ...]


class Asker:
    """Asks from a thread of its own while the ``with`` block lasts."""

    def __init__(self, stage: Stage, fate: Fate, seed: int) -> None:
        self._fate = fate
        self._fleet = stage.fleet
        self._random = random.Random(f"asker {seed}")
        self._settings = stage.vault.settings
        self._app = Application("asker")
        self._app.use(self._settings)
        inventory = load_inventory(self._settings, Platforms.load(None).names(), None)
        *self._devices, c1, c2, c3, c4 = inventory
        self._canaries: list[Device] = [c1, c2, c3, c4]
        self._waves: queue.Queue[list[Device] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="asker", daemon=True)
        self.accepted: list[Asked] = []
        #: Times nothing was taken, and the person was told so.
        self.refused = 0
        #: Anything but a plain answer.
        self.surprises: list[str] = []

    def __enter__(self) -> Asker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waves.put(None)
        self._thread.join(timeout=120)

    def ask(self, count: int) -> None:
        """Let chance befall this many devices, and ask for them until the request is taken."""
        chosen = self._random.sample(self._devices, min(count, len(self._devices)))
        for device in chosen:
            watched = self._fleet[device.name]
            assert isinstance(watched, RememberingDevice)
            self._fate.befall(watched)
        self._waves.put(chosen)

    def ask_for_canaries(self) -> None:
        """Ask once, ahead of everything else."""
        self._dispatch(self._canaries, QUEUE_MAX_PRIORITY)

    def wait_until_all_is_taken(self, within_s: float) -> bool:
        """Whether every wave was taken within this time."""
        deadline = time.monotonic() + within_s
        while self._waves.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self._waves.unfinished_tasks

    @property
    def count(self) -> int:
        """Requests taken: a device of a run each."""
        return sum(len(asked.devices) for asked in self.accepted)

    def _work(self) -> None:
        while (wave := self._waves.get()) is not None:
            while not self._dispatch(wave, PRIORITY_SCHEDULED):
                time.sleep(AGAIN_S)
            self._waves.task_done()

    def _dispatch(self, devices: list[Device], priority: int) -> bool:
        try:
            with open_store(self._settings.database_url) as store:
                run = dispatch(
                    devices,
                    settings=self._settings,
                    store=store,
                    app=self._app,
                    asked_by="durability",
                    priority=priority,
                )
        except ServiceUnavailable:
            self.refused += 1
            return False
        except Exception:  # noqa: BLE001 - told in the verdict; the faults go on
            self.surprises.append(traceback.format_exc())
            return False
        self.accepted.append(Asked(run.run_id, tuple(device.name for device in devices)))
        return True
