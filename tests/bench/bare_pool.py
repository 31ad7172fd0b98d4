"""What DeviceVault is compared with: a pool of threads over netmiko that writes files, and keeps no history.

``python -m tests.bench.bare_pool PORT DEVICES THREADS FOLDER`` tells as JSON how long it took and what it cost.
It types the commands a backup types.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from netmiko import ConnectHandler

from tests.bench.farm import COMMANDS, PASSWORD, USERNAME, address_of, name_of

#: netmiko's own preparation types the first two.
_PREPARATION = 2


@dataclass(frozen=True)
class Backed:
    """How it went."""

    seconds: float
    cpu_s: float
    #: Median of the sessions' lengths.
    session_s: float


def run(port: int, devices: int, threads: int, folder: Path) -> Backed:
    """In a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.bench.bare_pool", str(port), str(devices), str(threads), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Backed(**json.loads(done.stdout))


def _back_up(port: int, number: int, folder: Path) -> float:
    began = time.monotonic()
    connection = ConnectHandler(
        device_type="cisco_ios",
        host=address_of(number),
        port=port,
        username=USERNAME,
        password=PASSWORD,
        conn_timeout=60,
        banner_timeout=60,
        auth_timeout=60,
    )
    answers = [str(connection.send_command(command, read_timeout=300)) for command in COMMANDS[_PREPARATION:]]
    connection.disconnect()
    (folder / name_of(number)).write_text(answers[0])
    return time.monotonic() - began


def main() -> None:
    port, devices, threads = map(int, sys.argv[1:4])
    folder = Path(sys.argv[4])
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        sessions = list(pool.map(lambda number: _back_up(port, number, folder), range(devices)))
    seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(json.dumps(asdict(Backed(seconds, used.ru_utime + used.ru_stime, statistics.median(sessions)))))


if __name__ == "__main__":
    main()
