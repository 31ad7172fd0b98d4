"""The lock that keeps two sessions from meeting on one device.

Its value tells the task: a task delivered again, after its worker died, takes its own lock over, and only
another task is turned away. The lock is short-lived and renewed while the session lives, so a dead worker's
lock ends by itself; one thread renews all the locks of a process.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from redis import Redis

from devicevault import names
from devicevault.errors import DeviceLocked, ServiceUnavailable
from devicevault.messages import CollectRequest
from devicevault.stream import unavailable

logger = logging.getLogger(__name__)

#: Seconds a lock outlives its worker, and between two renewals.
LIFETIME_S: Final = 30.0
RENEWAL_S: Final = 10.0
#: Seconds between two tries to give a lock back that Redis did not take.
GIVE_BACK_S: Final = 1.0

_TAKE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''
"""
_GIVE_BACK: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class OwnTaskLocked(DeviceLocked):
    """Another message of the same task is being worked on: the device was asked for again while the task waited."""


def holder_for(request: CollectRequest) -> str:
    """The lock's value: the task's id, and the message's number in all of a task's messages but the first."""
    return f"{request.task_id} {request.repeat}" if request.repeat else request.task_id


@dataclass(frozen=True)
class Held:
    """One lock held."""

    key: str
    task_id: str
    #: No renewal after this time (``time.monotonic``): a session that outlives every limit must not hold on for ever.
    until: float
    #: A renewal under way must not take the lock again behind the back of its release.
    talking: threading.Lock = field(default_factory=threading.Lock, compare=False)


class DeviceLocks:
    """The locks this process holds. Thread-safe."""

    def __init__(self, redis: Redis, *, lifetime_s: float = LIFETIME_S, renewal_s: float = RENEWAL_S) -> None:
        self._redis = redis
        self._lifetime_ms = int(lifetime_s * 1000)
        self._renewal_s = renewal_s
        self._take = redis.register_script(_TAKE)
        self._give_back = redis.register_script(_GIVE_BACK)
        self._held: set[Held] = set()
        #: Locks Redis did not take back, and until when they may last (``time.monotonic``).
        self._left: dict[Held, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def acquire(self, device_id: str, task_id: str, horizon_s: float) -> Held:
        """Takes a device's lock and renews it until :meth:`release`, for ``horizon_s`` at most.

        ``task_id`` is what :func:`holder_for` says. Raises :class:`DeviceLocked` when another task holds it,
        :class:`OwnTaskLocked` when another message of the task does, :class:`ServiceUnavailable` when Redis does not
        answer.
        """
        held = Held(names.lock_for(device_id), task_id, time.monotonic() + horizon_s)
        self._take_key(held)
        with self._changed:
            self._held.add(held)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew_all, name="locks", daemon=True)
                self._thread.start()
            self._changed.notify()
        return held

    def release(self, held: Held) -> None:
        """Gives a lock back; while Redis does not answer, again and again until the lock has ended by itself."""
        with held.talking:
            with self._changed:
                self._held.discard(held)
            try:
                self._give_back_key(held)
            except ServiceUnavailable as error:
                logger.warning("Lock %s can't be given back yet: %s", held.key, error)
                with self._changed:
                    self._left[held] = time.monotonic() + self._lifetime_ms / 1000
                    self._changed.notify()

    def _take_key(self, held: Held) -> None:
        with unavailable(self._redis):
            holder = self._take(keys=[held.key], args=[held.task_id, self._lifetime_ms])
        if holder:
            other, _, _ = (holder.decode(errors="replace") if isinstance(holder, bytes) else holder).partition(" ")
            kind = OwnTaskLocked if other == held.task_id.partition(" ")[0] else DeviceLocked
            raise kind(f"task {other} is collecting this device", "nothing to do; look at that task's result instead")

    def _give_back_key(self, held: Held) -> None:
        with unavailable(self._redis):
            self._give_back(keys=[held.key], args=[held.task_id])

    def _renew_all(self) -> None:
        renew_at = time.monotonic()
        while True:
            with self._changed:
                while not self._held and not self._left:
                    self._changed.wait()
            if time.monotonic() >= renew_at:
                self._renew_held()
                renew_at = time.monotonic() + self._renewal_s
            self._give_back_left()
            time.sleep(min(GIVE_BACK_S, self._renewal_s))

    def _renew_held(self) -> None:
        with self._changed:
            now = time.monotonic()
            renewable = [held for held in self._held if held.until > now]
        for held in renewable:
            try:
                self._renew(held)
            except ServiceUnavailable as error:
                logger.warning("%d locks are not renewed: %s", len(renewable), error)
                return  # Redis takes none of them.
            except Exception:
                # One lock's trouble must not let every other lock of the process end.
                logger.exception("Lock %s could not be renewed", held.key)

    def _give_back_left(self) -> None:
        """Tries once; a lock the same task has taken again meanwhile stays."""
        with self._changed:
            again = {(held.key, held.task_id) for held in self._held}
            left = list(self._left.items())
        for held, until in left:
            try:
                if (held.key, held.task_id) not in again and until > time.monotonic():
                    self._give_back_key(held)
            except ServiceUnavailable:
                return  # Redis is away still.
            with self._changed:
                del self._left[held]

    def _renew(self, held: Held) -> None:
        try:
            with held.talking:
                if held in self._held:
                    # Taken anew if it ended meanwhile, as after a restart of Redis.
                    self._take_key(held)
        except DeviceLocked as error:
            logger.warning("Lock %s of task %s was lost: %s", held.key, held.task_id, error.problem)
