"""Asks Redis, the broker and the database how things stand, every few seconds, for the metrics."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from redis import Redis

from devicevault import names
from devicevault.errors import ConfigurationError, DeviceVaultError
from devicevault.heartbeat import heartbeats, redis_now
from devicevault.inventory import Inventory, load_inventory
from devicevault.outputs.metrics import Metrics, Sample, group_label
from devicevault.outputs.standing import standing_of_outputs
from devicevault.platforms.loader import platform_names
from devicevault.queues import waiting_requests
from devicevault.settings import Settings
from devicevault.steering import paused_groups
from devicevault.store import open_store
from devicevault.store.freshness import Freshness, freshness, requests_waiting
from devicevault.stream import connect_redis, unavailable, unread_results
from devicevault.stream.group import group_of

logger = logging.getLogger(__name__)

#: Seconds between two looks at each source; the database's is the dearest.
EVERY_S: Final = {"redis": 15.0, "broker": 15.0, "database": 60.0}
#: Seconds before a source that could not be asked is asked again.
AGAIN_S: Final = 5.0
#: Seconds after which an inventory is read again whose devices other systems know; theirs change without a reload.
INVENTORY_S: Final = 300.0


class Sampler:
    """Samples as long as the ``with`` block lasts, from a thread of its own; what fails is told and tried again."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        self._metrics = metrics
        self._settings = settings
        self._inventory: Inventory | None = None
        #: The settings it was read by; others mean another one.
        self._inventory_settings: Settings | None = None
        self._inventory_due_at = 0.0
        self._seen_groups: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._failures: Counter[str] = Counter()
        self._ended = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def renew(self, settings: Settings) -> None:
        """Look anew, by these settings and the inventory they name."""
        self._settings = settings
        self._wake.set()

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It may be waiting for a service that does not answer; nobody waits for that.
        self._ended = True
        self._wake.set()

    def _run(self) -> None:
        due = dict.fromkeys(EVERY_S, 0.0)
        while not self._ended:
            for source, at in due.items():
                if time.monotonic() >= at:
                    pause_s = EVERY_S[source] if self.sample(source) else AGAIN_S
                    due[source] = time.monotonic() + pause_s
            if self._wake.wait(max(0.0, min(due.values()) - time.monotonic())):
                self._wake.clear()
                due = dict.fromkeys(EVERY_S, 0.0)

    def sample(self, source: str) -> bool:
        """Ask one source; whether it could be asked. Raises nothing."""
        ask: dict[str, Callable[[], Sample]] = {
            "redis": self._redis,
            "broker": self._broker,
            "database": self._database,
        }
        try:
            sample, trouble = ask[source](), ""
        except DeviceVaultError as error:
            sample, trouble = None, str(error)
        except Exception as error:
            logger.debug("metrics: %s", source, exc_info=True)
            sample, trouble = None, type(error).__name__
        self._tell(source, trouble)
        self._metrics.sampled(source, sample)
        return sample is not None

    def _tell(self, source: str, trouble: str) -> None:
        """Log what is new. A first failure is none yet: the database may be about to be made."""
        self._failures[source] = self._failures[source] + 1 if trouble else 0
        if trouble == self._troubles.get(source, "") or self._failures[source] == 1:
            return
        logger.warning("metrics: %s", f"{source}: {trouble}" if trouble else f"{source} can be asked again")
        self._troubles[source] = trouble

    def _redis(self) -> Sample:
        with closing(connect_redis(self._settings.redis_url)) as redis:
            sample = {**_stream(redis, self._settings.results_stream), **self._workers(redis)}
            sample["devicevault_group_paused"] = {(group,): 1.0 for group in paused_groups(redis)}
            return sample

    def _workers(self, redis: Redis) -> dict[str, dict[tuple[str, ...], float]]:
        now = redis_now(redis)
        sample: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        for beat in heartbeats(redis):
            for group in map(group_label, beat.groups):
                self._seen_groups.add(group)
                labels = (beat.worker, group)
                sample["devicevault_worker_info"][(*labels, beat.version)] = 1.0
                sample["devicevault_worker_last_contact_seconds"][labels] = beat.silent_s(now)
                sample["devicevault_worker_sessions"][labels] = beat.in_flight
                sample["devicevault_worker_stuck_sessions"][labels] = beat.stuck
                sample["devicevault_worker_slots"][labels] = beat.concurrency
        return dict(sample)

    def _broker(self) -> Sample:
        groups = {names.DEFAULT_GROUP, *self._settings.groups, *self._seen_groups}
        groups.update(device.group for device in self._current_inventory() or ())
        waiting = waiting_requests(self._settings, [names.queue_for(group) for group in sorted(groups)])
        return {"devicevault_queue_depth": {(group,): waiting[names.queue_for(group)] for group in groups}}

    def _database(self) -> Sample:
        # First: its sources may take their time, and no transaction is to stay open so long.
        inventory = self._current_inventory()
        with open_store(self._settings.database_url) as store, store.reading() as session:
            return {
                "devicevault_requests_waiting": {(): requests_waiting(session)},
                **fleet(freshness(session), inventory, datetime.now(UTC)),
                **standing_of_outputs(session, self._settings),
            }

    def _current_inventory(self) -> Inventory | None:
        """The inventory, read where nobody waits for it: its sources may take their time."""
        settings, is_other = self._settings, self._inventory_settings is not self._settings
        if is_other or time.monotonic() >= self._inventory_due_at:
            found = inventory_of(settings)
            if found is not None or is_other:
                self._inventory = found
            self._inventory_settings = settings
            may_change = found is None or found.sources
            self._inventory_due_at = time.monotonic() + (INVENTORY_S if may_change else math.inf)
        return self._inventory


def fleet(
    known: Iterable[Freshness], inventory: Inventory | None, now: datetime
) -> dict[str, dict[tuple[str, ...], float]]:
    """How each group's devices stand: those the inventory has enabled, or every one where there is no inventory."""
    enabled = None if inventory is None else {device.device_id: device for device in inventory if device.enabled}
    devices: Counter[str] = Counter()
    without: Counter[str] = Counter()
    suspect: Counter[str] = Counter()
    oldest: dict[str, float] = {}
    for device in known:
        if device.is_archived if enabled is None else device.device_id not in enabled:
            continue
        group = group_label(enabled.pop(device.device_id).group if enabled is not None else device.group)
        devices[group] += 1
        without[group] += device.last_success_at is None
        suspect[group] += device.is_suspect
        age_s = (now - (device.last_success_at or device.first_seen_at)).total_seconds()
        oldest[group] = max(oldest.get(group, 0.0), age_s)
    for never_asked_for in (enabled or {}).values():
        devices[never_asked_for.group] += 1
        without[never_asked_for.group] += 1
    return {
        "devicevault_devices": {(group,): number for group, number in devices.items()},
        "devicevault_devices_without_backup": {(group,): without[group] for group in devices},
        "devicevault_devices_suspect": {(group,): suspect[group] for group in devices},
        "devicevault_oldest_backup_age_seconds": {(group,): age_s for group, age_s in oldest.items()},
    }


def inventory_of(settings: Settings) -> Inventory | None:
    """The inventory where it can be used; nothing depends on it but which devices are counted."""
    try:
        return load_inventory(settings, platform_names(settings.platforms_dir), None)
    except ConfigurationError as error:
        logger.warning("metrics count every device ever asked for: %s", error.faults[0])
        return None


def _stream(redis: Redis, stream: str) -> dict[str, dict[tuple[str, ...], float]]:
    group = group_of(redis, stream) or {}
    with unavailable(redis):
        dead: Any = redis.xlen(stream + names.DEAD_LETTER_SUFFIX)
    return {
        "devicevault_stream_lag": {(): unread_results(redis, stream)},
        "devicevault_stream_pending": {(): int(group.get("pending", 0))},
        "devicevault_dead_letters": {(): int(dead)},
    }
