"""How large the git mirror of a year becomes, and how long it takes: ``python -m tests.bench.mirror_year [FOLDER]``.

A thousand devices in ten groups, a backup of all of them every day, one in twenty changed by one to five lines. The
mirror is filled as the consumer fills it, a turn for each day, from a database of the same year, and then made anew.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from devicevault.compression import compress
from devicevault.demo.configurations import configuration_for
from devicevault.outputs.mirror.mirror import Mirror
from devicevault.settings import MirrorSettings
from devicevault.store import Store, open_store
from devicevault.store.models import CollectionRun, Device, DeviceBackupResult, DeviceConfig, DeviceRevision

GROUPS = 10
FIRST_DAY = datetime(2026, 1, 1, 2, tzinfo=UTC)
PORTS = 300


class Fleet:
    """Devices whose configurations are some 50 KB, as switches with three hundred ports have them."""

    def __init__(self, devices: int, share: float) -> None:
        self._random = random.Random(7)
        self._share = share
        self.texts = [self._first(number) for number in range(devices)]

    def _first(self, number: int) -> list[str]:
        lines = configuration_for("cisco_ios", f"sw{number}").splitlines()
        for port in range(PORTS):
            rack, vlan = self._random.randrange(400), self._random.randrange(1, 4094)
            lines += [
                f"interface GigabitEthernet{port // 48 + 1}/0/{port % 48 + 1}",
                f" description link {self._random.randrange(10**6)} to rack {rack}",
                f" switchport access vlan {vlan}",
                " switchport mode access",
                " spanning-tree portfast",
                "!",
            ]
        return lines

    def of_day(self, day: int) -> dict[int, str]:
        """The devices that differ that day, and their texts."""
        number = len(self.texts)
        changed = range(number) if day == 0 else self._random.sample(range(number), int(number * self._share))
        for device in changed if day else ():
            lines = self.texts[device]
            for _ in range(self._random.randrange(1, 6)):
                lines[self._random.randrange(len(lines))] = f" description changed {self._random.randrange(10**9)}"
        return {device: "\n".join(self.texts[device]) + "\n" for device in sorted(changed)}


def store_day(session: Session, day: int, texts: dict[int, str], numbers: dict[int, int]) -> None:
    """What the writer leaves of a day; only the rows of collections that found a change, which are what is mirrored."""
    moment = FIRST_DAY + timedelta(days=day)
    session.add(CollectionRun(run_id=f"run-{day}", kind="scheduled", requested_at=moment))
    session.flush()
    for device, text in texts.items():
        raw = text.encode()
        result = DeviceBackupResult(
            task_id=f"{day}-{device}",
            run_id=f"run-{day}",
            device_pk=device + 1,
            device_name=f"sw{device}",
            group=f"group-{device % GROUPS}",
            status="success",
            requested_at=moment,
            recorded_at=moment,
        )
        config = DeviceConfig(digest=f"{day}-{device}", size=len(raw), compressed=compress(raw))
        session.add_all([result, config])
        session.flush()
        numbers[device] = numbers.get(device, 0) + 1
        session.add(
            DeviceRevision(
                device_pk=device + 1,
                artifact="running",
                number=numbers[device],
                config_id=config.id,
                result_id=result.id,
                reason="first" if day == 0 else "changed",
                added=1,
                removed=1,
                collected_at=moment,
                confirmed_at=moment,
            )
        )


def measure(folder: Path, devices: int, days: int, share: float, *, at_once: bool) -> None:
    """Fill, tell, make anew, tell; with ``at_once`` only the latter."""
    fleet, numbers = Fleet(devices, share), dict[int, int]()
    settings = MirrorSettings(enabled=True, path=folder / "mirror.git")
    with open_store(f"sqlite:///{folder}/year.db", migrate=True) as store:
        _add_devices(store, devices)
        spent, slowest = 0.0, 0.0
        for day in range(days):
            with store.session() as session:
                store_day(session, day, fleet.of_day(day), numbers)
            began = time.monotonic()
            if not at_once:
                Mirror(settings).turn(store)
            took = time.monotonic() - began
            spent, slowest = spent + took, max(slowest, took)
        repository = Mirror(settings).repository()
        revisions = sum(numbers.values())
        tell(f"{devices} devices, {days} days, {revisions} revisions, {share:.0%} changed each day")
        if not at_once:
            size_mb = repository.size_bytes() / 1e6
            tell(f"filled day by day: {size_mb:.1f} MB, {spent:.0f} s, slowest day {slowest:.1f} s")
        began = time.monotonic()
        done = Mirror(settings).rebuild(store)
        took = time.monotonic() - began
        tell(f"made anew: {repository.size_bytes() / 1e6:.1f} MB, {done.commits} commits, {took:.0f} s")
    tell(f"the database: {(folder / 'year.db').stat().st_size / 1e6:.1f} MB")
    git_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    tell(
        f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB here, {git_kb / 1e3:.0f} MB in git"
    )


def _add_devices(store: Store, devices: int) -> None:
    with store.session() as session:
        session.add_all(
            Device(
                id=number + 1,
                device_id=f"sw{number}",
                name=f"sw{number}",
                group=f"group-{number % GROUPS}",
                platform="cisco_ios",
                first_seen_at=FIRST_DAY,
            )
            for number in range(devices)
        )


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("folder", nargs="?", type=Path, help="where database and mirror are left; nowhere by default")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--at-once", action="store_true", help="only make it from the whole year's database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(
            options.folder or Path(temporary), options.devices, options.days, options.share, at_once=options.at_once
        )
