"""What is known of a task before it is begun: done, cancelled, its group paused, or begun before and never ended.

A worker that dies gives back all the tasks it had in hand, and one of them may be why it died. A task that saw two
workers die is a suspect, and a process begins one suspect after the other: the innocent get done, and the culprit is
begun again and again, until it is given up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from redis import Redis

from devicevault import names
from devicevault.errors import CollectionInterrupted
from devicevault.messages import CollectRequest
from devicevault.stream import unavailable

#: Workers that died with a task in hand, from which on it is a suspect. One is mostly a restart or an accident.
SUSPECT_AFTER: Final = 2
#: Seconds between two looks whether the worker is stopping, while another suspect is worked on.
LOOK_S: Final = 0.5
#: Counts one more beginning of a task, unless it is done.
_BEGIN: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
"""


@dataclass(frozen=True)
class Standing:
    """How a task stands before it is begun."""

    #: Its result is in the stream: another message of it was worked on.
    is_done: bool
    is_cancelled: bool
    is_paused: bool
    #: How often it was begun and not ended.
    begun: int


class Admission:
    """Asks and keeps in Redis what is known of tasks. Thread-safe.

    Every method that asks Redis raises :class:`~devicevault.errors.ServiceUnavailable` when it does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._begin = redis.register_script(_BEGIN)
        self._one_suspect = threading.Lock()

    def standing(self, request: CollectRequest) -> Standing:
        """What is known of this request's task, in one round trip."""
        with unavailable(self._redis), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.exists(names.DONE_PREFIX + request.task_id)
            pipeline.exists(names.CANCELLED_PREFIX + request.task_id)
            pipeline.hexists(names.PAUSED_GROUPS, request.group)
            pipeline.get(names.BEGUN_PREFIX + request.task_id)
            done, cancelled, paused, begun = pipeline.execute()
        return Standing(bool(done), bool(cancelled), bool(paused), int(begun or 0))

    def begin(self, task_id: str, *, keep_s: float) -> bool:
        """The task is begun, unless its result is in the stream by now; tells whether it is.

        This is forgotten after ``keep_s`` seconds, when the broker must have given it again.
        """
        keys = [names.DONE_PREFIX + task_id, names.BEGUN_PREFIX + task_id]
        with unavailable(self._redis):
            return bool(self._begin(keys=keys, args=[int(keep_s * 1000)]))

    def end(self, task_id: str) -> None:
        """The task goes back to its queue on purpose: it did not kill its worker."""
        with unavailable(self._redis):
            self._redis.delete(names.BEGUN_PREFIX + task_id)

    @contextmanager
    def turn(self, standing: Standing, stopping: threading.Event, longest_s: float) -> Iterator[None]:
        """A suspect's block waits for another suspect's to end, ``longest_s`` at most; an innocent's runs at once.

        Raises :class:`CollectionInterrupted` when the worker is ``stopping`` meanwhile.
        """
        is_alone = standing.begun >= SUSPECT_AFTER and self._wait_for_others(stopping, longest_s)
        try:
            yield
        finally:
            if is_alone:
                self._one_suspect.release()

    def _wait_for_others(self, stopping: threading.Event, longest_s: float) -> bool:
        """Whether no other suspect is worked on; a device that hangs must not hold all others up."""
        ends_at = time.monotonic() + longest_s
        while not self._one_suspect.acquire(timeout=LOOK_S):
            if stopping.is_set():
                raise CollectionInterrupted("the worker is stopping")
            if time.monotonic() >= ends_at:
                return False
        return True
