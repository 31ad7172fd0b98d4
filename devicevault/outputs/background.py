"""Everything a consumer does beside storing results: the mirror, its push, and the notices, each in its own thread."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from threading import Event
from types import TracebackType

from devicevault.messages import CollectResult
from devicevault.outputs.loop import Loop
from devicevault.outputs.mirror.mirror import Mirror
from devicevault.outputs.mirror.push import Push
from devicevault.outputs.notices.delivery import Delivery
from devicevault.outputs.notices.watch import Watch
from devicevault.outputs.sampler import inventory_of
from devicevault.settings import Settings
from devicevault.store import WriteReport


class Outputs:
    """What is derived from the store, kept up to it as long as the ``with`` block lasts."""

    def __init__(self, settings: Settings) -> None:
        stop = Event()
        self._settings = settings
        self._push = Push(settings.mirror, stop)
        push = self._loop(self._push, stop)
        self._mirror = Mirror(settings.mirror, stop, committed=push.wake)
        self._delivery = Delivery(settings, stop)
        delivery = self._loop(self._delivery, stop)
        self._watch = Watch(settings, inventory_of, written=delivery.wake)
        #: Woken when something was stored; the others are by these.
        self._first = (self._loop(self._mirror, stop), self._loop(self._watch, stop))
        self._loops = (*self._first, push, delivery)
        self._stack = ExitStack()

    def _loop(self, output: Mirror | Push | Watch | Delivery, stop: Event) -> Loop:
        return Loop(output, lambda: self._settings.database_url, stop)

    def stored(self, results: Sequence[CollectResult], report: WriteReport) -> None:
        """There are new results in the store. Raises nothing, takes no time."""
        for loop in self._first:
            loop.wake()

    @property
    def trouble(self) -> str:
        """What fails at the moment, for the daemon's status line; empty when nothing does."""
        return "; ".join(f"{loop.output.name}: {loop.trouble}" for loop in self._loops if loop.trouble)

    def renew(self, settings: Settings) -> None:
        """Go by these settings from the next turn on."""
        self._settings = settings
        self._mirror.settings = self._push.settings = settings.mirror
        self._delivery.settings = settings
        self._watch.renew(settings)
        for loop in self._loops:
            loop.retry()

    def __enter__(self) -> Outputs:
        for loop in self._loops:
            self._stack.enter_context(loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
