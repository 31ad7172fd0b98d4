"""Whether every worker has what the vault counts on: release, key, credentials, platform pages. By its heartbeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import devicevault
from devicevault.doctor.finding import Finding
from devicevault.errors import ConfigurationError, ServiceUnavailable
from devicevault.heartbeat import SILENT_AFTER_S, STOPPED, Heartbeat, heartbeats, redis_now
from devicevault.inventory import Inventory
from devicevault.inventory.device import Device
from devicevault.platforms import Platforms
from devicevault.settings import Settings, mask_passwords
from devicevault.stream import connect_redis
from devicevault.vault_keys import PLAIN, PUBLIC, read_keys, sealing_key_id

HEARTBEATS: Final = "heartbeats"


@dataclass(frozen=True)
class Vault:
    """What a vault counts on its workers to have."""

    inventory: Inventory | None
    platforms: Platforms
    key_id: str
    results_stream: str


def look(settings: Settings, inventory: Inventory | None, answering: Set[str]) -> Iterator[Finding]:
    """What is to be said of each worker that was heard of lately, and of those ``answering`` that never were."""
    try:
        with connect_redis(settings.redis_url) as redis:
            beats, now = heartbeats(redis), redis_now(redis)
        platforms = Platforms.load(settings.platforms_dir)
        own_key = PLAIN
        if settings.vault.originals == "sealed":
            own_key = sealing_key_id(read_keys(settings.vault.public_key, PUBLIC))
    except ConfigurationError:
        return  # told where the files were looked at
    except ServiceUnavailable:
        yield Finding.unknown(HEARTBEATS, "not looked at: Redis does not answer")
        return
    vault = Vault(inventory, platforms, own_key, settings.results_stream)
    for beat in beats:
        if beat.state != STOPPED:
            yield from judge_worker(beat, now, vault)
    for name in sorted(answering - {beat.worker for beat in beats}):
        yield Finding.fault(
            HEARTBEATS,
            f"{name} takes requests from the broker, and left no heartbeat at {mask_passwords(settings.redis_url)}: "
            "its locks and results go to another Redis, or to none",
            "set the redis_url of this vault in config.toml on its host, and restart the worker there",
        )


def judge_worker(beat: Heartbeat, now: datetime, vault: Vault) -> Iterator[Finding]:
    """What is to be said of one worker."""
    if beat.silent_s(now) > SILENT_AFTER_S:
        yield Finding.warning(
            HEARTBEATS,
            f"{beat.worker} was not heard of for {beat.silent_s(now):.0f} s",
            f"on its host: systemctl status {_units(beat)}",
        )
        return
    devices = [device for device in vault.inventory or () if device.enabled and device.group in beat.groups]
    troubles = [
        *_judge_release(beat),
        *_judge_stream(beat, vault.results_stream),
        *_judge_key(beat, vault.key_id),
        *_judge_files(beat, devices, vault.platforms),
    ]
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


def _judge_stream(beat: Heartbeat, results_stream: str) -> Iterator[Finding]:
    if beat.results_stream and beat.results_stream != results_stream:
        yield Finding.fault(
            HEARTBEATS,
            f"{beat.worker} puts its results into {beat.results_stream}; this vault reads {results_stream}",
            f"set results_stream to {results_stream} on its host; then there: systemctl reload {_units(beat)}",
        )


def _judge_key(beat: Heartbeat, own_key: str) -> Iterator[Finding]:
    if beat.key_id != own_key and own_key != PLAIN:
        problem = "does not seal originals" if beat.key_id == PLAIN else f"seals originals with key {beat.key_id}"
        yield Finding.fault(
            HEARTBEATS,
            f"{beat.worker} {problem}; this vault's key is {own_key}",
            f"here: devicevault join export --group {beat.groups[0]}; on the worker's host: devicevault join import",
        )


def _judge_files(beat: Heartbeat, devices: list[Device], platforms: Platforms) -> Iterator[Finding]:
    has = set(beat.credentials)
    lacking = Counter(name for device in devices for name in device.credentials if name not in has)
    for name, count in sorted(lacking.items()):
        yield Finding.fault(
            HEARTBEATS,
            f"{beat.worker} has no credential {name!r}, which {count} of its devices need",
            f"add [credentials.{name}] to credentials.toml on its host; then there: systemctl reload {_units(beat)}",
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


def _units(beat: Heartbeat) -> str:
    """The services of this worker, as systemctl takes them."""
    return " ".join(f"devicevault-worker@{group}" for group in beat.groups)
