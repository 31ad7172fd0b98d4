"""Logins that take their time, and what stands between a device and its first prompt."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import pytest

from devicevault.collector.collect import collect
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectResult
from tests.collecting import CREDENTIALS, make_context, request_for
from tests.openssh import openssh
from tests.telnet import in_thread

pytestmark = pytest.mark.services


def collected(device: SimulatedDevice, folder: Path, known: str = CREDENTIALS, **ssh: Any) -> CollectResult:
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device), make_context(folder, known, attempts=1, **ssh))


class SlowLogin(SimulatedDevice):
    """Asks a TACACS+ server that is away before the one that answers."""

    judged = threading.Event()

    @property
    def password(self) -> str:
        self.judged.wait(2.5)
        return "correct horse"

    @password.setter
    def password(self, value: str) -> None:
        pass


@pytest.mark.parametrize("methods", [("password",), ("keyboard-interactive",)])
def test_a_login_may_take_longer_than_a_connection(methods: tuple[str, ...], tmp_path: Path) -> None:
    device = SlowLogin("r1", password_methods=methods)
    result = collected(device, tmp_path, connect_timeout_s=1.0)
    assert (result.status, result.error_message) == ("success", "")
    assert device.refusals == 0


class Questions(asyncssh.SSHServer):
    """Asks, by keyboard-interactive alone, one question after another, whatever it is answered."""

    answers: ClassVar[list[str]] = []
    asked: ClassVar[tuple[str, ...]] = ()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def kbdint_auth_supported(self) -> bool:
        # As in the fleet: paramiko asks for the login service anew before each try, and asyncssh would hang up.
        self._connection._next_service = b"ssh-userauth"
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        self._rest = iter(self.asked)
        return self._next()

    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        self.answers.extend(responses)
        return self._next()

    def _next(self) -> Any:
        question = next(self._rest, None)
        return question is None or ("", "Welcome", "", [(question, False)] if question else [])


@pytest.mark.parametrize(
    ("questions", "error"),
    [
        (("Password: ",), "unreachable"),
        (("", "Password: ", ""), "unreachable"),
        (("Password: ", "Password: ", "Password: "), "auth"),
        (("Password: ", "New password: ", "Again: "), "auth"),
        (("Password: ", "One-time code: "), "auth"),
    ],
)
def test_one_question_is_answered_and_no_second(questions: tuple[str, ...], error: str, tmp_path: Path) -> None:
    """A device that asks again would count each answer as a refused login; one that asks for a new password takes it.

    Who is let in finds no terminal there, and so no more than that is proven.
    """

    class Asking(Questions):
        answers: ClassVar[list[str]] = []
        asked = questions

    key = asyncssh.generate_private_key("ssh-ed25519")

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(Asking, "127.0.0.1", 0, server_host_keys=[key])

    with in_thread(start) as server, Fleet([SimulatedDevice("r1")]) as fleet:
        port = server.sockets[0].getsockname()[1]
        request = request_for(fleet, fleet["r1"], port=port, deadline_s=10.0)
        result = collect(request, make_context(tmp_path, attempts=1))
    assert [answer for answer in Asking.answers if answer] == ["correct horse"]
    assert result.error == error, result.error_message
    if error == "auth":
        assert repr(questions[1].strip()) in result.error_message


def test_a_key_that_is_not_enough_asks_nobody_for_more(tmp_path: Path) -> None:
    """The library would ask at the terminal, where a worker has none."""
    with openssh(tmp_path / "sshd", "AuthenticationMethods publickey,keyboard-interactive") as server:
        context = make_context(tmp_path, server.credential("lab"), attempts=1)
        with Fleet([SimulatedDevice("here", "linux")]) as fleet:
            result = collect(request_for(fleet, fleet["here"], port=server.port), context)
    assert result.error == "auth"
    assert "(the device allows password, keyboard-interactive)" in result.error_message
