"""The soak: ``python -m tests.durability --requests 10000 --faults 100``; root only, with ``make test``'s servers."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.durability.campaign import Plan, run


def main() -> int:
    """Runs a campaign and prints its table; 1 when something was lost or a lie."""
    # Ended from outside, it still takes its servers, daemons and disks away.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    parser = argparse.ArgumentParser(prog="python -m tests.durability", description=main.__doc__)
    parser.add_argument("--broker", choices=("rabbitmq", "redis"), default="rabbitmq")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="an empty folder for logs and files, which stay there")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    asked = parser.parse_args()
    plan = Plan(
        broker=asked.broker,
        database=asked.database,
        requests=asked.requests,
        faults=asked.faults,
        seed=asked.seed,
        fleet_size=asked.devices,
        concurrency=asked.concurrency,
        wait_s=1800,
        disk_mb=512,
        hanging=0.02,
        failing=0.08,
    )
    _tell(f"seed {plan.seed}")
    with contextlib.ExitStack() as stack:
        folder = asked.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="devicevault-soak-"))
        report = run(plan, Path(folder), _tell)
    _tell(f"done\n\n{report.table()}\n\n{report.details()}")
    return 0 if report.is_clean else 1


def _tell(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
