"""The consumer as a process: killed at any point, told to stop, or started with what can't work."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import pytest
from redis import Redis

from devicevault.store import open_store, reader, schema
from devicevault.store.engine import connect
from devicevault.stream import publish
from tests.consuming import (
    STREAM,
    WITHIN_S,
    dead_letters,
    process,
    queued,
    revisions_of,
    rows,
    running,
    wait_for_no_pending,
    wait_for_rows,
)
from tests.results import request, result
from tests.servers import wait_until

pytestmark = pytest.mark.services


KILLED = """
import os, signal
from devicevault.daemons import consumer
from devicevault.stream import ResultReader
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
ResultReader.{method} = die
consumer.main()
"""


@pytest.mark.parametrize("method", ["acknowledge", "trim"])
def test_killed_between_commit_and_what_follows_it_writes_nothing_twice(
    method: str, client: Redis, redis_url: str, sqlite_url: str
) -> None:
    for sent in queued(sqlite_url, "a", "b"):
        publish(client, STREAM, sent)
    with process(redis_url, sqlite_url, KILLED.format(method=method)) as daemon:
        assert daemon.wait(WITHIN_S) == -signal.SIGKILL
    assert {row.status for row in rows(sqlite_url).values()} == {"success"}
    with running(client, sqlite_url, socket.gethostname()):
        wait_for_no_pending(client)
    assert revisions_of(sqlite_url, ["a", "b"]) == {"a": 1, "b": 1}
    assert {row.status for row in rows(sqlite_url).values()} == {"success"}
    assert dead_letters(client) == []


#: Killed as soon as a batch is committed, and before any output hears of it.
KILLED_BEFORE_OUTPUTS = """
import os, signal
from devicevault.daemons import consumer
from devicevault.outputs.background import Outputs
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
Outputs.stored = die
consumer.main()
"""


def test_killed_between_commit_and_outputs_the_mirror_gets_what_was_committed(
    client: Redis, redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    """Outputs are driven by what the database holds, not by what they were told of."""
    repository = tmp_path / "mirror.git"
    environ = {"DEVICEVAULT_MIRROR__PATH": str(repository), "DEVICEVAULT_MIRROR__RUN_WAIT_S": "0"}
    for sent in queued(sqlite_url, "a", "b"):
        publish(client, STREAM, sent)
    # Without the mirror this time: else it might find by itself what nobody told it of.
    with process(redis_url, sqlite_url, KILLED_BEFORE_OUTPUTS, **environ) as daemon:
        assert daemon.wait(WITHIN_S) == -signal.SIGKILL
    assert {row.status for row in rows(sqlite_url).values()} == {"success"}
    with process(redis_url, sqlite_url, DEVICEVAULT_MIRROR__ENABLED="true", **environ):
        wait_until(lambda: mirrored(repository) == ["default/a", "default/b"], WITHIN_S, or_say=lambda: "no mirror")
        wait_for_no_pending(client)
    assert revisions_of(sqlite_url, ["a", "b"]) == {"a": 1, "b": 1}


def mirrored(repository: Path) -> list[str]:
    """Each file of the mirror, as group and device."""
    git = ["git", "-c", "safe.directory=*", "--git-dir", str(repository), "ls-tree", "-r", "--name-only", "main"]
    listed = subprocess.run(git, capture_output=True, text=True, check=False).stdout
    return sorted(path.rpartition(".")[0] or path for path in listed.split() if "/" in path)


def test_the_daemon_tells_systemd_that_it_is_ready_and_ends_at_sigterm(
    client: Redis, redis_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WITHIN_S)
        with process(redis_url, sqlite_url, NOTIFY_SOCKET=str(tmp_path / "notify")) as daemon:
            assert systemd.recv(1000).startswith(b"READY=1\n")
            publish(client, STREAM, result(request(), "success", "hostname a\n"))
            wait_for_rows(sqlite_url, 1)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(WITHIN_S) == 0


def test_killed_again_and_again_it_loses_nothing_and_writes_nothing_twice(
    client: Redis, redis_url: str, sqlite_url: str
) -> None:
    results = queued(sqlite_url, *(f"sw{number}" for number in range(300)))
    for killed_after in range(0, 300, 75):
        for one in results[killed_after : killed_after + 75]:
            publish(client, STREAM, one)
        with process(redis_url, sqlite_url, DEVICEVAULT_CONSUMER__BATCH_ENTRIES="20") as daemon:
            wait_for_rows(sqlite_url, killed_after + 10)
            daemon.kill()
            daemon.wait()
    with process(redis_url, sqlite_url):
        found = wait_for_rows(sqlite_url, 300)
        wait_for_no_pending(client)
    assert {row.status for row in found.values()} == {"success"}
    with open_store(sqlite_url) as store, store.reading() as session:
        for name in found:
            device = reader.find_device(session, name)
            assert len(reader.device_results(session, device, limit=9)) == 1
            assert len(reader.device_revisions(session, device, limit=9)) == 1
    assert dead_letters(client) == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"DEVICEVAULT_VAULT__ORIGINALS": "sealed", "DEVICEVAULT_VAULT__PUBLIC_KEY": "/not/there"}, "/not/there"),
        ({"DEVICEVAULT_DATABASE_URL": "mysql://host/db"}, "DEVICEVAULT_DATABASE_URL"),
        ({"DEVICEVAULT_CONSUMER__BLOCK_MS": "soon"}, "DEVICEVAULT_CONSUMER__BLOCK_MS"),
    ],
)
def test_what_an_operator_must_mend_ends_it_with_78_and_a_line(
    variables: dict[str, str], told: str, redis_url: str, sqlite_url: str
) -> None:
    with process(redis_url, sqlite_url, **variables) as daemon:
        output, _ = daemon.communicate(timeout=WITHIN_S)
        assert daemon.returncode == 78
    assert told in output
    assert "Traceback" not in output


def test_a_database_of_a_newer_release_is_not_touched(redis_url: str, sqlite_url: str) -> None:
    engine = connect(sqlite_url, create=True)
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with process(redis_url, sqlite_url) as daemon:
        output, _ = daemon.communicate(timeout=WITHIN_S)
        assert daemon.returncode == 78
    assert "newer release" in output
