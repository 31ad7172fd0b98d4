"""Hundreds of devices that hang at every point of a session, all at once."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from devicevault.collector import deadline
from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.deadline import interrupt_all
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.errors import CollectionInterrupted
from devicevault.messages import CollectRequest, CollectResult
from tests.collecting import make_context, request_for
from tests.servers import wait_until

#: Devices that hang at each of the four points; the last two cost a handshake each.
COUNTS = {"deaf": 130, "no_banner": 130, "auth_hang": 40, "stall": 40}
#: The step named by the sentence of each.
STEPS = {"deaf": "connecting", "no_banner": "banner", "auth_hang": "logging in", "stall": "reading"}
#: So long that a busy machine gets every session to the point where it hangs.
DEADLINE_S = 12.0
#: What the end of a session may take beyond its deadline on a busy machine; any other limit is far off.
SLACK_S = 15.0


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops every further attempt to connect, as a dead host does."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def our_threads() -> list[str]:
    """Threads that are not the fleet's own; the one that watches deadlines stays."""
    others = ("fleet", "asyncio_", "deadlines")
    return [thread.name for thread in threading.enumerate() if not thread.name.startswith(others)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def timed(request: CollectRequest, context: CollectorContext) -> tuple[CollectResult, float]:
    began = time.monotonic()
    return collect(request, context), time.monotonic() - began


def test_hundreds_of_hung_devices_end_at_their_deadline_and_leave_nothing(tmp_path: Path) -> None:
    """Hung at connect, banner, login and reading: each is a timeout, in time, with its threads and sockets gone."""
    context = make_context(tmp_path, attempts=1, connect_timeout_s=100, deadline_s=200)
    devices = {point: SimulatedDevice(point, fault=point if point != "deaf" else "") for point in COUNTS}
    with Fleet(devices.values()) as fleet, deaf_port() as deaf:
        threads, files = our_threads(), open_files()
        requests = [
            request_for(fleet, device, deadline_s=DEADLINE_S, **({"port": deaf} if point == "deaf" else {}))
            for point, device in devices.items()
            for _ in range(COUNTS[point])
        ]
        with ThreadPoolExecutor(len(requests)) as pool:
            outcomes = list(pool.map(timed, requests, [context] * len(requests)))
        assert Counter((result.device, result.error) for result, _ in outcomes) == {
            (point, "timeout"): count for point, count in COUNTS.items()
        }
        assert [
            result.error_message for result, _ in outcomes if STEPS[result.device] not in result.error_message
        ] == []
        assert max(took for _, took in outcomes) < DEADLINE_S + SLACK_S
        assert len(deadline.ALARMS) == 0
        # The fleet's own ends of the connections close a moment later.
        wait_until(
            lambda: len(our_threads()) <= len(threads) and open_files() <= files + 1,
            30,
            or_say=lambda: f"threads {threads} became {our_threads()}, files {files} became {open_files()}",
        )


def test_running_sessions_end_at_once_when_the_worker_stops(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault="stall")
    context = make_context(tmp_path)
    with Fleet([device]) as fleet, ThreadPoolExecutor(4) as pool:
        requests = [request_for(fleet, device, deadline_s=120.0) for _ in range(4)]
        running = [pool.submit(collect, request, context) for request in requests]
        wait_until(lambda: device.readings == 4, 60, or_say=lambda: f"{device.readings} of 4 sessions are reading")
        began = time.monotonic()
        assert interrupt_all(CollectionInterrupted("stopping")) == 4
        for session in running:
            with pytest.raises(CollectionInterrupted):
                session.result(timeout=30)
        assert time.monotonic() - began < 30
