"""A thousand devices that hang at every point of a session, all at once."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector import deadline
from devicevault.collector.collect import CollectorContext, collect
from devicevault.collector.deadline import interrupt_all
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.errors import CollectionInterrupted
from devicevault.messages import CollectRequest, CollectResult
from tests.collecting import make_context, request_for
from tests.servers import wait_until

#: Devices that hang at each point; the last two cost a handshake each.
COUNTS = {"nameless": 120, "deaf": 400, "no_banner": 400, "auth_hang": 40, "stall": 40}
#: The step named by the sentence of each.
STEPS = {
    "nameless": "looking up",
    "deaf": "connecting",
    "no_banner": "banner",
    "auth_hang": "logging in",
    "stall": "reading",
}
#: Descriptors: both ends of each connection are in this process.
FILES = 4096
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


@pytest.fixture
def resolver_hangs(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A resolver whose name servers do not answer until this is set; nothing can interrupt a call to it."""
    gives_up = threading.Event()
    real = socket.getaddrinfo

    def ask(*arguments: Any, **parameters: Any) -> Any:
        if not parameters.get("flags"):
            gives_up.wait(120)
        return real(*arguments, **parameters)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    return gives_up


@pytest.fixture
def many_files() -> Iterator[None]:
    """As a worker's unit allows, and not only what a shell does."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, min(most, FILES)), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_hung_devices_end_at_their_deadline_and_leave_nothing(
    tmp_path: Path, resolver_hangs: threading.Event
) -> None:
    """Hung at the name, at connect, banner, login and reading: each is a timeout, in time, and its threads and sockets
    are gone. A resolver's thread is gone when the resolver gives up, which its own time limits see to.
    """
    context = make_context(tmp_path, attempts=1, connect_timeout_s=100, deadline_s=200)
    healthy = ("deaf", "nameless")
    devices = {point: SimulatedDevice(point, fault="" if point in healthy else point) for point in COUNTS}
    with Fleet(devices.values()) as fleet, deaf_port() as deaf:
        elsewhere: dict[str, dict[str, Any]] = {"deaf": {"port": deaf}, "nameless": {"address": "switch.invalid"}}
        threads, files = our_threads(), open_files()
        requests = [
            request_for(fleet, device, deadline_s=DEADLINE_S, **elsewhere.get(point, {}))
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
        resolver_hangs.set()
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
