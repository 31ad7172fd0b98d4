"""Fixtures of every test. Servers are real ones, started once a session when first asked for."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import hypothesis
import pytest

from tests.servers import (
    PostgreSQLServer,
    RabbitMQServer,
    RedisServer,
    ServerMissingError,
    postgresql_server,
    rabbitmq_server,
    redis_server,
)

S = TypeVar("S")

#: What a developer's shell, or pytest-xdist, may have set and a command would go by.
AMBIENT = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM")

# A machine with other things to do is slow, not wrong.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

#: Marks of tests in which several processes have to get somewhere within a time.
TIMED = ("services", "durability", "system")
#: Folders whose tests come first, so that none of their files is left to be run alone.
LONGEST = ("system", "durability")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what runs in its background; the programs under test must be interruptible all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _same_environment_everywhere() -> None:
    """Nothing that happens to be set where the tests run reaches what they run."""
    for name in (*AMBIENT, *(name for name in os.environ if name.startswith("DEVICEVAULT_"))):
        os.environ.pop(name, None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests that take longest come first: those of machines, then the campaigns of faults.

    Where ``CI=true``, a test of real servers or machines that failed is run once more, with a RERUN line.

    A machine with other things to do may be slower than any bound that makes sense; a fault of ours fails twice.
    """
    items.sort(key=_turn)
    if os.environ.get("CI") != "true" or not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in items:
        if any(item.get_closest_marker(name) for name in TIMED):
            item.add_marker(pytest.mark.flaky(reruns=1))


def _turn(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)


def missing(reason: str) -> NoReturn:
    """Skip on a developer's machine; fail where ``CI=true`` promises that everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def started(server: AbstractContextManager[S]) -> Iterator[S]:
    """The running server, or the reason why there is none."""
    try:
        running = server.__enter__()
    except ServerMissingError as error:
        missing(str(error))
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server of this session."""
    with started(redis_server(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """A RabbitMQ node of this session, with its management API."""
    with started(rabbitmq_server(tmp_path_factory.mktemp("rabbitmq"))) as server:
        yield server


@pytest.fixture
def rabbitmq(rabbitmq_node: RabbitMQServer) -> RabbitMQServer:
    """The session's RabbitMQ node, without what earlier tests left in its queues."""
    rabbitmq_node.purge()
    return rabbitmq_node


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQLServer]:
    """A PostgreSQL cluster of this session; :func:`postgresql_url` gives a database in it."""
    with started(postgresql_server(tmp_path_factory.mktemp("postgresql"))) as server:
        yield server


@pytest.fixture
def redis_url(redis: RedisServer) -> str:
    """Database 1 of the session's Redis, emptied."""
    from redis import Redis

    with Redis.from_url(redis.url) as client:
        client.flushall()
    return redis.url


@pytest.fixture
def postgresql_url(postgresql: PostgreSQLServer) -> Iterator[str]:
    """An empty PostgreSQL database of this test."""
    name = f"test_{uuid.uuid4().hex}"
    yield postgresql.create_database(name)
    postgresql.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite database of this test, not yet made."""
    return f"sqlite:///{tmp_path / 'devicevault.db'}"
