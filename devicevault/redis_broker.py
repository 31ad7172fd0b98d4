"""Two things kombu's Redis transport lacks: without them a Redis that goes away or fills up ends a worker, or loses a
request.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from kombu.transport import redis as kombu_redis
from kombu.utils.json import dumps
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ExecAbortError, OutOfMemoryError, RedisError

from devicevault.refusal import in_words

logger = logging.getLogger(__name__)

#: Seconds between two tries to give a request back to a Redis that does not take it.
GIVE_BACK_AGAIN_S: Final = 1.0
#: Seconds a worker that stops goes on trying.
STOPPING_WITHIN_S: Final = 10.0


@dataclass(frozen=True)
class Taken:
    """A request that was taken off its queue, and that Redis has no room for at the moment."""

    message: Any
    queue: str
    redis: Redis
    #: The hash and the sorted set in which Redis notes what is being worked on,
    notes: tuple[str, str]
    #: and the request's name in both.
    tag: str
    #: Whether Redis could note it; otherwise it exists in this process only.
    is_noted: bool

    def give_back(self) -> None:
        """Put it back as the last of its queue, however long Redis is full or away; bounded when the worker stops."""
        gives_up_at = float("inf")
        while True:
            try:
                self._put_back()
                return
            except RedisError as error:
                trouble = error
            if _is_stopping():
                gives_up_at = min(gives_up_at, time.monotonic() + STOPPING_WITHIN_S)
            if time.monotonic() >= gives_up_at:
                end = "waits until it counts as abandoned" if self.is_noted else "is lost with this worker"
                logger.error("A request could not be given back, and %s: %s", end, in_words(trouble))
                return
            time.sleep(GIVE_BACK_AGAIN_S)

    def _put_back(self) -> None:
        """In one step, so that it is never in neither place; where only the answer is lost, it may be there twice."""
        by_tag, by_time = self.notes
        with self.redis.pipeline(transaction=True) as together:
            together.hdel(by_tag, self.tag)
            together.zrem(by_time, self.tag)
            together.lpush(self.queue, dumps(self.message._raw))  # type: ignore[no-untyped-call]
            together.execute()


class QoS(kombu_redis.QoS):
    """Keeps what a Redis that is full, or goes away at the wrong moment, would lose."""

    def __init__(self, *arguments: Any, **parameters: Any) -> None:
        super().__init__(*arguments, **parameters)  # type: ignore[no-untyped-call]
        self._taken: dict[str, Taken] = {}
        self._noting = threading.Lock()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Notes a message that was taken off its queue as not yet acknowledged."""
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except RedisError as error:
            # A full Redis lets messages be taken off, but not be noted. This one exists here only: do it.
            logger.warning("The broker can't note that a request is being worked on: %s", in_words(error))
            with self._noting:
                self._taken[delivery_tag] = self._as_taken(message, delivery_tag, is_noted=False)
            super(kombu_redis.QoS, self).append(message, delivery_tag)  # type: ignore[no-untyped-call]
        else:
            self._note_the_others()

    def ack(self, delivery_tag: str) -> None:
        """The message is done with."""
        self._forget(delivery_tag)
        super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message is not to be done here; with ``requeue`` somebody else is to do it."""
        taken = self._forget(delivery_tag)
        if taken is None:
            self._reject_noted(delivery_tag, requeue=requeue)
            return
        super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]
        if requeue:
            taken.give_back()

    def _reject_noted(self, delivery_tag: str, *, requeue: bool) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except (OutOfMemoryError, ExecAbortError):
            # Celery would connect anew, and the request wait for half an hour, until it counts as abandoned.
            message = self.get(delivery_tag)  # type: ignore[no-untyped-call]
            taken = self._as_taken(message, delivery_tag, is_noted=True)
            super(kombu_redis.QoS, self).ack(delivery_tag)  # type: ignore[no-untyped-call]
            # Not here: Celery's loop goes on meanwhile.
            threading.Thread(target=taken.give_back, name="give-back", daemon=True).start()

    def _remove_from_indices(self, delivery_tag: str, pipe: Any = None) -> Any:
        if pipe is not None:
            return super()._remove_from_indices(delivery_tag, pipe)  # type: ignore[no-untyped-call]
        # Inside a transaction a full Redis refuses even commands that make room. What is left over where only the first
        # one gets through, a tag without a message, is dropped when its time has come.
        with self.channel.conn_or_acquire() as client:
            both = client.pipeline(transaction=False)
            return both.hdel(self.unacked_key, delivery_tag).zrem(self.unacked_index_key, delivery_tag)

    def _as_taken(self, message: Any, delivery_tag: str, *, is_noted: bool) -> Taken:
        priority = self.channel._get_message_priority(message._raw)
        queue = self.channel._q_for_pri(message.delivery_info["routing_key"], priority)
        notes = (self.unacked_key, self.unacked_index_key)
        return Taken(message, queue, Redis(connection_pool=self.channel.pool), notes, delivery_tag, is_noted)

    def _forget(self, delivery_tag: str) -> Taken | None:
        with self._noting:
            return self._taken.pop(delivery_tag, None)

    def _note_the_others(self) -> None:
        """Redis takes notes again: should this worker be killed now, they are not lost either."""
        with self._noting:
            try:
                while self._taken:
                    delivery_tag, taken = next(iter(self._taken.items()))
                    super().append(taken.message, delivery_tag)  # type: ignore[no-untyped-call]
                    del self._taken[delivery_tag]
            except RedisError as error:
                logger.debug("requests are not noted yet: %s", error)


class Channel(kombu_redis.Channel):
    """Says so when it is used after its connection was closed."""

    QoS = QoS

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            # kombu would raise AttributeError, which Celery does not take for a broken connection.
            raise RedisConnectionError("the connection to the broker was closed")
        return super()._get_pool(asynchronous)  # type: ignore[no-untyped-call]


def install() -> None:
    """Let every connection to a Redis broker that is made from now on use these."""
    kombu_redis.Transport.Channel = Channel


def _is_stopping() -> bool:
    # Whoever sends requests only need not load Celery's worker.
    from celery.worker import state

    return state.should_stop is not None or state.should_terminate is not None
