"""RabbitMQ's confirmations of many messages at a time.

It confirms a message once it is on its disk. A sender that waits for each confirmation before it sends the next message
waits for the disk each time; here many are on their way, and each counts as sent only when it is confirmed.
"""

from __future__ import annotations

import time
from typing import Any

from kombu.exceptions import OperationalError


class Confirmations:
    """What was published on one AMQP channel, and what of it RabbitMQ has not confirmed yet."""

    def __init__(self, channel: Any) -> None:
        """From now on, publishing on ``channel`` waits for nothing."""
        self._channel = channel
        self._last_tag = 0
        #: What each tag belongs to.
        self._open: dict[int, str] = {}
        self._was_refused = False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._confirmed)
        channel.events["basic_nack"].add(self._refused)
        self._publish = type(channel).basic_publish
        channel.basic_publish = self._publish_counted
        self._sending = ""

    def begin(self, key: str) -> None:
        """What is published next belongs to ``key``."""
        self._sending = key

    @property
    def missing(self) -> set[str]:
        """The keys not everything of which is confirmed."""
        return set(self._open.values())

    @property
    def open(self) -> int:
        """How many messages are not confirmed yet."""
        return len(self._open)

    def wait(self, within_s: float, *, down_to: int = 0) -> None:
        """Wait until everything but ``down_to`` messages is confirmed.

        Raises :class:`TimeoutError` when it is not in time, kombu's OperationalError when RabbitMQ refused a message,
        and whatever breaks the connection.
        """
        ends_at = time.monotonic() + within_s
        while len(self._open) > down_to and not self._was_refused:
            self._channel.connection.drain_events(timeout=max(0.01, ends_at - time.monotonic()))
        if self._was_refused:
            raise OperationalError("RabbitMQ refused a message")

    def _publish_counted(self, *arguments: Any, **options: Any) -> Any:
        published = self._publish(self._channel, *arguments, **options)
        # RabbitMQ counts the same way, from 1.
        self._last_tag += 1
        self._open[self._last_tag] = self._sending
        return published

    def _confirmed(self, tag: int, multiple: bool) -> None:
        for one in [one for one in self._open if one <= tag] if multiple else [tag]:
            self._open.pop(one, None)

    def _refused(self, _tag: int, _multiple: bool) -> None:
        self._was_refused = True
