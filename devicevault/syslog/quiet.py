"""Quiet periods: a device that tells of changes is collected once it has stopped, or has gone on for too long."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """What a device has told since it was last collected for it. Times are of ``time.monotonic``."""

    first_at: float
    last_at: float
    messages: int = 1

    def merged(self, other: Change) -> Change:
        return Change(
            min(self.first_at, other.first_at), max(self.last_at, other.last_at), self.messages + other.messages
        )


class QuietPeriods:
    """The devices that are waited for, by their id; there are never more than devices. For several threads."""

    def __init__(self, quiet_s: float, max_wait_s: float) -> None:
        self.quiet_s = quiet_s
        self.max_wait_s = max_wait_s
        self._waiting: dict[str, Change] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def told(self, device_id: str, now: float) -> None:
        """The device told of a change: its quiet period begins anew."""
        self.put({device_id: Change(now, now)})

    def put(self, changes: Mapping[str, Change]) -> None:
        """Wait for these devices, or go on waiting for them."""
        with self._lock:
            for device_id, change in changes.items():
                known = self._waiting.get(device_id)
                self._waiting[device_id] = change if known is None else known.merged(change)

    def take_due(self, now: float) -> dict[str, Change]:
        """Those whose time has come; they are not waited for any more."""
        return self._take(
            device_id
            for device_id, change in self._waiting.items()
            if now >= min(change.last_at + self.quiet_s, change.first_at + self.max_wait_s)
        )

    def take_all(self) -> dict[str, Change]:
        """Every one, due or not."""
        return self._take(self._waiting)

    def _take(self, device_ids: Iterable[str]) -> dict[str, Change]:
        with self._lock:
            return {device_id: self._waiting.pop(device_id) for device_id in list(device_ids)}
