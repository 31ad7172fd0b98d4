"""Sends the notices that are due, each receiver in its turn, until it took them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from threading import Event as Flag
from typing import Final

from devicevault.outputs.notices.outbox import Due, delivered, due_deliveries, failed, forget_receivers, next_due
from devicevault.outputs.notices.send import NotDelivered, send
from devicevault.settings import ReceiverSettings, Settings
from devicevault.store import Store

logger = logging.getLogger(__name__)

#: More notices than this at once become one message, also for a receiver that asks for no digest.
JOIN_OVER: Final = 10
#: Notices in one message, at most.
MESSAGE_MAX: Final = 2000


class Delivery:
    """Deliveries to the receivers in ``settings``."""

    name = "delivery"
    every_s = 60.0
    least_pause_s = 0.5

    def __init__(self, settings: Settings, stop: Flag | None = None) -> None:
        self.settings = settings
        self._stop = stop
        self._troubles: dict[str, str] = {}

    def turn(self, store: Store) -> float | None:
        """Send what is due; seconds until more is. Raises DeviceVaultError when the database is away."""
        receivers = self.settings.receivers
        now = datetime.now(UTC)
        with store.reading() as session:
            if next_due(session) is None:
                return None
            found = due_deliveries(session, now, limit=MESSAGE_MAX)
        if any(due.receiver not in receivers for due in found):
            with store.session() as session:
                dropped = forget_receivers(session, receivers.keys())
            logger.warning("notices: %d dropped, whose receivers are in the settings no more", dropped)
        for due in found:
            if due.receiver in receivers and not (self._stop and self._stop.is_set()):
                self._deliver(store, due, receivers[due.receiver])
        with store.reading() as session:
            then = next_due(session)
        return None if then is None else max(0.0, (then - datetime.now(UTC)).total_seconds())

    def _deliver(self, store: Store, due: Due, receiver: ReceiverSettings) -> None:
        joined = bool(receiver.digest_s) or len(due.notices) > JOIN_OVER
        messages = [slice(None)] if joined else [slice(index, index + 1) for index in range(len(due.notices))]
        for part in messages:
            try:
                send(receiver, due.notices[part], self._stop)
            except NotDelivered as error:
                if not (self._stop and self._stop.is_set()):
                    self._failed(store, due, str(error))
                return
            with store.session() as session:
                delivered(session, due.receiver, due.notice_ids[part])
        if self._troubles.pop(due.receiver, ""):
            logger.info("notices: %s takes them again", due.receiver)

    def _failed(self, store: Store, due: Due, problem: str) -> None:
        if self._troubles.get(due.receiver) != problem:
            logger.warning("notices: %s did not take them: %s; trying again", due.receiver, problem)
        self._troubles[due.receiver] = problem
        with store.session() as session:
            given_up = failed(session, due, problem, datetime.now(UTC))
        if given_up:
            logger.error("notices: %d given up after three days in which %s took none", given_up, due.receiver)
