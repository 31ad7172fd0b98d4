"""Whoever can write to the broker can ask for anything: no password leaves for an address it is not meant for."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.messages import CollectRequest, CollectResult
from devicevault.settings import JumpSettings
from tests.collecting import make_context
from tests.proxies import proxy
from tests.servers import wait_until
from tests.telnet import in_thread

pytestmark = pytest.mark.services

CORE = """
[credentials.core]
username = "core-canary"
password = "password-canary"
enable = "enable-canary"
networks = ["192.0.2.0/24", "2001:db8::/32"]
groups = ["core"]
"""


@dataclass
class Stranger:
    """A server of somebody else's, which takes every login and remembers what it was given."""

    port: int = 0
    host_key: str = ""
    connections: int = 0
    given: list[str] = field(default_factory=list)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    made = Stranger()

    class Login(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            made.connections += 1

        async def begin_auth(self, username: str) -> bool:
            made.given.append(username)
            return True

        def password_auth_supported(self) -> bool:
            return True

        async def validate_password(self, username: str, password: str) -> bool:
            made.given.append(password)
            return True

    key = asyncssh.generate_private_key("ssh-ed25519")

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(Login, "127.0.0.1", 0, server_host_keys=[key])

    with in_thread(start) as server:
        made.port = server.sockets[0].getsockname()[1]
        made.host_key = " ".join(key.export_public_key().decode().split()[:2])
        yield made


def forged(stranger: Stranger, **fields: Any) -> CollectRequest:
    """A request as its forger would write it: whatever the stranger's server needs to look right."""
    return CollectRequest(
        **{
            "task_id": str(uuid.uuid4()),
            "device_id": "core-sw1",
            "device": "core-sw1",
            "address": "127.0.0.1",
            "port": stranger.port,
            "platform": "cisco_ios",
            "group": "core",
            "credentials": ("core",),
            "host_keys": (stranger.host_key,),
            "requested_at": datetime.now(UTC),
            "deadline_s": 10.0,
            **fields,
        }
    )


def refused(result: CollectResult, stranger: Stranger) -> str:
    """Why; nothing was given away, neither there nor in what is told."""
    assert (result.status, result.error) == ("failure", "credential")
    assert stranger.given == []
    assert "password-canary" not in result.model_dump_json()
    return result.error_message


@pytest.fixture
def context(tmp_path: Path) -> CollectorContext:
    return make_context(tmp_path, CORE, attempts=1)


def test_the_server_would_have_taken_it(tmp_path: Path, stranger: Stranger) -> None:
    """What the other tests prove is proven only if a credential that is bound to nothing does arrive."""
    free = CORE.replace("networks", "#").replace("groups", "#")
    collect(forged(stranger, deadline_s=3.0), make_context(tmp_path, free, attempts=1))
    assert {"core-canary", "password-canary"} <= set(stranger.given)


def test_another_address_gets_nothing(context: CollectorContext, stranger: Stranger) -> None:
    assert "not for the address 127.0.0.1" in refused(collect(forged(stranger), context), stranger)
    # It was connected to; that it was given nothing is no accident.
    wait_until(lambda: stranger.connections == 1, 20, or_say=lambda: "nobody came")
    assert stranger.given == []


def test_a_name_that_leads_elsewhere_gets_nothing(context: CollectorContext, stranger: Stranger) -> None:
    """What counts is where the connection went, not what the request or a name server says."""
    refused(collect(forged(stranger, address="localhost"), context), stranger)


def test_another_group_gets_nothing(context: CollectorContext, stranger: Stranger) -> None:
    assert "not for collector group 'dmz'" in refused(collect(forged(stranger, group="dmz"), context), stranger)


def test_an_address_inside_but_for_its_writing_gets_nothing(context: CollectorContext, stranger: Stranger) -> None:
    refused(collect(forged(stranger, address="::ffff:127.0.0.1"), context), stranger)


def test_a_console_server_gets_nothing(context: CollectorContext, stranger: Stranger) -> None:
    refused(collect(forged(stranger, console="core", console_line=":7"), context), stranger)


def test_a_name_behind_a_proxy_of_the_workers_gets_nothing(context: CollectorContext, stranger: Stranger) -> None:
    """There the worker can't see where a name leads."""
    with proxy("socks5") as asked:
        jump = JumpSettings(kind="socks5", address="127.0.0.1", port=asked.port)
        settings = context.settings.model_copy(update={"jumps": {"p": jump}})
        result = collect(forged(stranger, address="localhost", jump=("p",)), replace(context, settings=settings))
    assert "looked up out of sight" in refused(result, stranger)


def test_no_words_of_a_request_reach_a_proxy(context: CollectorContext, stranger: Stranger) -> None:
    """In HTTP an address stands in a line of text: with a line end in it, the forger would go on writing there."""
    with proxy("http") as asked:
        jump = JumpSettings(kind="http", address="127.0.0.1", port=asked.port)
        context = replace(context, settings=context.settings.model_copy(update={"jumps": {"p": jump}}))
        wish = f"127.0.0.1:{stranger.port} HTTP/1.1\r\nX-Forged: yes\r\n\r\n"
        result = collect(forged(stranger, address=wish, jump=("p",)), context)
        assert asked.connections == []
    assert (result.error, stranger.connections) == ("unreachable", 0)
    assert "is no address" in result.error_message


def test_nothing_is_typed_in_the_clear_because_a_request_says_so(tmp_path: Path) -> None:
    """The address would fit, but the credential is for SSH."""
    heard = bytearray()
    bound = CORE.replace("192.0.2.0/24", "127.0.0.0/8")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.sendall(b"Username: ")
                    while data := client.recv(4096):
                        heard.extend(data)

        thread = threading.Thread(target=listen)
        thread.start()
        stranger = Stranger(listener.getsockname()[1])
        result = collect(forged(stranger, transport="telnet", host_keys=()), make_context(tmp_path, bound, attempts=1))
        thread.join(10)
    assert "not for telnet" in refused(result, stranger)
    assert heard == bytearray()
