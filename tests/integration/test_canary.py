"""Secrets stay home: a device's password, its enable secret and a key's passphrase are found nowhere they must not be.

A whole installation collects real SSH sessions while the test listens to everything that leaves a process: broker
messages, Celery events, the stream, the rows, the logs, and the arguments of every process; and afterwards it looks
through what the servers hold, down to their files.
"""

from __future__ import annotations

import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from celery.events.event import get_exchange
from kombu.connection import Connection
from kombu.entity import Queue

from devicevault.demo.configurations import configuration_for, secrets_of
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.demo.scene import PLATFORM_OF
from tests.dumps import (
    everything_in_database,
    everything_in_git,
    everything_in_redis,
    objects_in_git,
    raw_files,
    sizes,
    told,
)
from tests.installation import GROUP, Installation
from tests.servers import RabbitMQServer, RedisServer, free_port, wait_until

pytestmark = pytest.mark.services

PASSWORD = "Canary-Password-31"
ENABLE = "Canary-Enable-47"
PASSPHRASE = "Canary-Passphrase-59"
WRONG = "Canary-Wrong-Password-83"
CANARIES = (PASSWORD, ENABLE, PASSPHRASE, WRONG)

#: What a device's second configuration has and its first has not.
CHANGE = "transport input telnet"
PASSWORD_DEVICE = "ios-by-password"
KEY_DEVICE = "linux-by-key"
REFUSED_DEVICE = "ios-refused"
#: Beside them, a device of each platform whose configurations are made up.
OTHERS = {f"other-{platform}": platform for platform in PLATFORM_OF.values()}


@pytest.fixture(scope="module")
def key() -> asyncssh.SSHKey:
    """The key pair that logs in to one of the devices."""
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def fleet(key: asyncssh.SSHKey) -> Iterator[Fleet]:
    devices = [
        SimulatedDevice(PASSWORD_DEVICE, password=PASSWORD, enable=ENABLE),
        SimulatedDevice(REFUSED_DEVICE, password="something else", enable=ENABLE),
        SimulatedDevice(
            KEY_DEVICE, "linux", authorized_key=key.export_public_key("openssh").decode(), password_methods=()
        ),
        *(SimulatedDevice(name, platform, password=PASSWORD, enable=ENABLE) for name, platform in OTHERS.items()),
    ]
    with Fleet(devices) as running:
        yield running


@pytest.fixture(params=[("rabbitmq", "postgresql"), ("redis", "sqlite")], ids="-".join)
def servers(request: pytest.FixtureRequest, redis: RedisServer, tmp_path: Path) -> Servers:
    """Each kind of broker and of database once."""
    broker, database = request.param
    database_url = str(request.getfixturevalue(f"{database}_url"))
    folders = {"Redis' files": redis.process.log.parent}
    if database == "postgresql":
        folders["PostgreSQL's log of writes"] = (
            request.getfixturevalue("postgresql").process.log.parent / "data" / "pg_wal"
        )
    broker_url = redis.database_url(0)
    if broker == "rabbitmq":
        rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq")
        broker_url = rabbitmq.url
        folders["RabbitMQ's files"] = rabbitmq.process.log.parent
    return Servers(broker_url, database_url, {name: (folder, sizes(folder)) for name, folder in folders.items()})


@dataclass(frozen=True)
class Servers:
    """Where broker and database are."""

    broker_url: str
    database_url: str
    #: The folders of the servers, and how large each file there was when the test began.
    folders: dict[str, tuple[Path, dict[Path, int]]]


@pytest.fixture
def vault(tmp_path: Path, servers: Servers, redis_url: str, fleet: Fleet, key: asyncssh.SSHKey) -> Installation:
    """An installation that logs everything it can."""
    receiver = tmp_path / "receive"
    receiver.write_text(f"#!/bin/sh\ncat >> {tmp_path}/notices\n")
    receiver.chmod(0o755)
    made = Installation(
        tmp_path / "etc",
        servers.broker_url,
        redis_url,
        servers.database_url,
        settings_text=(
            f'[metrics]\nlisten = "127.0.0.1:{free_port()}"\n'
            f'[mirror]\nenabled = true\npath = "{tmp_path}/mirror.git"\n'
            f'[receivers.ticket]\ncommand = ["{receiver}"]\n'
        ),
        environ={"DEVICEVAULT_LOG__LEVEL": "debug"},
    )
    (tmp_path / "login.key").write_bytes(key.export_private_key("openssh", passphrase=PASSPHRASE))
    (tmp_path / "login.key").chmod(0o600)
    made.write_credentials(
        f'[credentials.password]\nusername = "backup"\npassword = "{PASSWORD}"\nenable = "{ENABLE}"\n'
        f'[credentials.refused]\nusername = "backup"\npassword = "{WRONG}"\nenable = "{ENABLE}"\n'
        f'[credentials.key]\nusername = "backup"\nkey = {{ file = "{tmp_path}/login.key" }}\n'
        f'passphrase = "{PASSPHRASE}"\n'
    )
    credential_of = {PASSWORD_DEVICE: "password", REFUSED_DEVICE: "refused", KEY_DEVICE: "key"}
    made.write_inventory(
        f'[defaults]\ngroup = "{GROUP}"\n[groups.{GROUP}]\n'
        + "".join(
            f'[devices.{device.name}]\nplatform = "{device.platform}"\naddress = "{fleet.address}"\n'
            f'port = {fleet.port(device.name)}\ncredential = "{credential_of.get(device.name, "password")}"\n'
            for device in fleet
        )
    )
    made.ok("keys", "create")
    return made


@contextmanager
def overheard(broker_url: str) -> Iterator[list[str]]:
    """Every Celery event, while the block lasts."""
    heard: list[str] = []
    ended = threading.Event()

    def note(body: Any, message: Any) -> None:
        heard.append(f"{message.body!r} {message.headers!r} {message.properties!r} {body!r}")
        message.ack()

    def listen() -> None:
        with Connection(broker_url) as connection:  # type: ignore[no-untyped-call]
            exchange = get_exchange(connection)
            events = Queue("canary.events", exchange, "#", auto_delete=True)  # type: ignore[no-untyped-call]
            with connection.Consumer([events], callbacks=[note], accept=["json"]):
                listening.set()
                while not ended.is_set():
                    try:
                        connection.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    listening = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(10)
    try:
        yield heard
    finally:
        ended.set()
        thread.join()


def waiting_messages(broker_url: str) -> list[str]:
    """The request messages in the group's queue, as the broker holds them; they are put back."""
    found = []
    with Connection(broker_url) as connection:  # type: ignore[no-untyped-call]
        channel = connection.channel()
        messages = []
        while (message := channel.basic_get(f"collector.group.{GROUP}")) is not None:
            messages.append(message)
            found.append(f"{message.body!r} {message.headers!r} {message.properties!r}")
        for message in messages:
            channel.basic_reject(message.delivery_tag, requeue=True)
    return found


class ProcessWatch:
    """Reads every process's arguments, over and over, while the ``with`` block lasts."""

    def __enter__(self) -> ProcessWatch:
        self.seen: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def served_metrics(listen: str) -> str:
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def raw_files_of_sqlite(folder: Path) -> list[str]:
    """The database, and what was not yet written into it."""
    return [text for file in sorted(folder.glob("devicevault.db*")) for text in told(file.read_bytes())]


def leaks(places: dict[str, list[str]], secrets: tuple[str, ...]) -> list[str]:
    """Which secret stands where, in plain or as bytes in hex."""
    spellings = {secret: (secret, secret.encode().hex(), secret.encode().hex().upper()) for secret in secrets}
    return [
        f"{secret} in {place}"
        for place, texts in places.items()
        for secret, forms in spellings.items()
        if any(form in text for text in texts for form in forms)
    ]


def test_no_secret_leaves_the_worker(
    vault: Installation, servers: Servers, fleet: Fleet, tmp_path: Path, redis: RedisServer
) -> None:
    """Requests, events, stream, rows, logs, output and arguments hold none of the canaries."""

    def rows() -> list[str]:
        return everything_in_database(vault.database_url)

    with ProcessWatch() as processes, overheard(vault.broker_url) as events:
        with vault.running(groups=()):
            vault.ok("collect", "--all")
            requests = waiting_messages(vault.broker_url)
            with vault.running(consumer=False):
                done = vault.run("collect", "--all", "--wait")
                inline = vault.run("collect", "--inline", "--verbose", PASSWORD_DEVICE, KEY_DEVICE, REFUSED_DEVICE)
                wait_until(lambda: "begun" in rows(), 60, or_say=lambda: vault.logs)
            device = fleet[PASSWORD_DEVICE]
            device.configuration = device.configuration.replace(" transport input ssh\n", f" {CHANGE} ssh\n")
            with vault.running():
                vault.run("collect", "--all", "--wait")
                metrics = served_metrics(vault.settings.metrics.listen)
                notices = tmp_path / "notices"
                mirror = tmp_path / "mirror.git"
                wait_until(lambda: notices.exists() and CHANGE in notices.read_text(), 60, or_say=lambda: vault.logs)
                wait_until(lambda: CHANGE in objects_in_git(mirror), 60, or_say=lambda: vault.logs)
        said = [done.stdout, done.stderr, inline.stdout, inline.stderr]
        said += [vault.ok(*command) for command in (("status",), ("history", PASSWORD_DEVICE), ("config", "show"))]
    logs = [daemon.log.read_text() for daemon in vault.daemons.values()]
    places = {
        "a request message": requests,
        "an event": events,
        "Redis": everything_in_redis(redis.database_url(0)) + everything_in_redis(vault.redis_url),
        "a row": rows(),
        **{name: raw_files(folder, before) for name, (folder, before) in servers.folders.items()},
        **({"SQLite's file": raw} if (raw := raw_files_of_sqlite(tmp_path)) else {}),
        "a log": logs,
        "the git mirror": everything_in_git(mirror),
        "a notice": [notices.read_text()],
        "the metrics": [metrics],
        "a command's output": said,
        "a process's arguments": [arguments.decode(errors="replace") for arguments in processes.seen],
    }

    # The test listens where it says it does ...
    assert len(requests) == len(fleet)
    assert any("task-received" in event for event in events)
    assert PASSWORD_DEVICE in "".join(places["Redis"])
    assert any("devicevault-worker" in arguments for arguments in places["a process's arguments"])
    assert fleet[PASSWORD_DEVICE].logins >= 2
    assert fleet[KEY_DEVICE].logins >= 2
    assert fleet[REFUSED_DEVICE].refusals >= 2
    assert "ios-refused" in "".join(logs)
    for place in ("Redis", "a row", "the git mirror", "Redis' files"):
        assert CHANGE in "".join(places[place]), place
    assert "RabbitMQ's files" not in places or GROUP in "".join(places["RabbitMQ's files"])
    assert f"{GROUP}/{PASSWORD_DEVICE}.cfg" in "".join(places["the git mirror"])
    assert "devicevault_results_total" in metrics

    # ... and hears no secret there, neither of the credentials nor of the configurations.
    assert leaks(places, CANARIES) == []
    for device in fleet:
        if device.name != REFUSED_DEVICE:
            configured = secrets_of(device.platform, device.name)
            shown = configuration_for(device.platform, device.name)
            assert configured
            assert all(secret in shown for secret in configured)
            assert fleet[device.name].logins >= 1, device.name
            assert leaks(places, configured) == []


def test_the_search_itself_finds_a_leak() -> None:
    assert leaks({"a log": [f"password {PASSWORD}"]}, CANARIES) == [f"{PASSWORD} in a log"]
    assert leaks({"a row": [f"X'{ENABLE.encode().hex()}'"]}, CANARIES) == [f"{ENABLE} in a row"]
    assert leaks({"an event": [os.sep]}, CANARIES) == []
