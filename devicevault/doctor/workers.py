"""Whether every worker has what the vault counts on: release, key, credentials, platform pages. By its heartbeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import devicevault
from devicevault.doctor.finding import Finding
from devicevault.errors import ConfigurationError, ServiceUnavailable
from devicevault.heartbeat import SILENT_AFTER_S, Heartbeat, heartbeats, redis_now
from devicevault.inventory import Inventory
from devicevault.inventory.device import Device
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.stream import connect_redis
from devicevault.vault_keys import PLAIN, PUBLIC, key_id, read_key

HEARTBEATS: Final = "heartbeats"


def look(settings: Settings, inventory: Inventory | None) -> Iterator[Finding]:
    """What is to be said of each worker that was heard of lately."""
    try:
        with connect_redis(settings.redis_url) as redis:
            beats, now = heartbeats(redis), redis_now(redis)
        platforms = Platforms.load(settings.platforms_dir)
        own_key = PLAIN
        if settings.vault.originals == "sealed":
            own_key = key_id(read_key(settings.vault.public_key, PUBLIC))
    except ConfigurationError:
        return  # told where the files were looked at
    except ServiceUnavailable:
        yield Finding.unknown(HEARTBEATS, "not looked at: Redis does not answer")
        return
    for beat in beats:
        if beat.state != "stopped":
            yield from judge_worker(beat, now, inventory, platforms, own_key)


def judge_worker(
    beat: Heartbeat, now: datetime, inventory: Inventory | None, platforms: Platforms, own_key: str
) -> Iterator[Finding]:
    """What is to be said of one worker; ``own_key`` is the key id of the vault."""
    if beat.silent_s(now) > SILENT_AFTER_S:
        yield Finding.warning(
            HEARTBEATS,
            f"{beat.worker} was not heard of for {beat.silent_s(now):.0f} s",
            f"on its host: systemctl status devicevault-worker@{beat.group}",
        )
        return
    devices = [device for device in inventory or () if device.enabled and device.group == beat.group]
    troubles = [*_judge_release(beat), *_judge_key(beat, own_key), *_judge_files(beat, devices, platforms)]
    yield from troubles
    if not troubles:
        yield Finding.ok(HEARTBEATS, f"{beat.worker}: release {beat.version}, {beat.in_flight} in flight")


def _judge_release(beat: Heartbeat) -> Iterator[Finding]:
    if beat.version != devicevault.__version__:
        yield Finding.warning(
            HEARTBEATS,
            f"{beat.worker} runs release {beat.version}, this vault {devicevault.__version__}",
            "install the same package on both hosts",
        )


def _judge_key(beat: Heartbeat, own_key: str) -> Iterator[Finding]:
    if beat.key_id != own_key and own_key != PLAIN:
        problem = "does not seal originals" if beat.key_id == PLAIN else f"seals originals with key {beat.key_id}"
        yield Finding.fault(
            HEARTBEATS,
            f"{beat.worker} {problem}; this vault's key is {own_key}",
            f"here: devicevault join export --group {beat.group}; on the worker's host: devicevault join import",
        )


def _judge_files(beat: Heartbeat, devices: list[Device], platforms: Platforms) -> Iterator[Finding]:
    has = set(beat.credentials)
    lacking = Counter(name for device in devices for name in device.credentials if name not in has)
    for name, count in sorted(lacking.items()):
        yield Finding.fault(
            HEARTBEATS,
            f"{beat.worker} has no credential {name!r}, which {count} of its devices need",
            f"add [credentials.{name}] to credentials.toml on its host; "
            f"then there: systemctl reload devicevault-worker@{beat.group}",
        )
    for name, count in sorted(Counter(device.platform for device in devices).items()):
        if name not in beat.platforms:
            yield Finding.fault(
                HEARTBEATS,
                f"{beat.worker} has no page for platform {name}, which {count} of its devices are",
                "copy the page to /etc/devicevault/platforms on its host, and reload the worker there",
            )
        elif name in platforms and beat.platforms[name] != platforms.get(name).digest:
            yield Finding.warning(
                HEARTBEATS,
                f"{beat.worker} has another page for platform {name} than this vault",
                "copy the page from one host to the other, and reload the worker",
            )
