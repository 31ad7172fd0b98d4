"""Real OpenSSH servers as devices: their host keys, their algorithms, every kind of user key, and a real shell."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import collect
from devicevault.host_key import fingerprint
from devicevault.messages import CollectRequest, CollectResult
from devicevault.settings import JumpSettings
from tests.collecting import make_context
from tests.openssh import USER, OpenSSH, make_key, openssh
from tests.servers import Process, wait_until

pytestmark = pytest.mark.services


def collected(
    server: OpenSSH, folder: Path, known: str = "", ssh: dict[str, Any] | None = None, **changes: Any
) -> CollectResult:
    """A collection of this host itself."""
    context = make_context(folder, known or server.credential("lab"), **{"attempts": 1, **(ssh or {})})
    return collect(request_to(server, **changes), context)


def request_to(server: OpenSSH, **changes: Any) -> CollectRequest:
    return CollectRequest(
        **{
            "task_id": str(uuid.uuid4()),
            "device_id": "here",
            "device": "here",
            "address": "localhost",
            "port": server.port,
            "platform": "linux",
            "credentials": ("lab",),
            "requested_at": datetime.now(UTC),
            "deadline_s": 30.0,
            **changes,
        }
    )


def outcome(result: CollectResult) -> tuple[str, str]:
    return result.status, result.error_message


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    """OpenSSH as Debian configures it, but for a banner with lines that look like prompts."""
    folder = tmp_path_factory.mktemp("sshd")
    (folder / "banner").write_text("*** Authorised use only ***\nadmin@here:~$\nPassword:\n")
    with openssh(folder, f"Banner {folder}/banner", kinds=("ed25519", "rsa", "ecdsa")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OpenSSH]:
    """A server that no other test uses."""
    with openssh(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def old_sshd(tmp_path: Path) -> Iterator[OpenSSH]:
    """OpenSSH that speaks only what old devices speak."""
    old = ("KexAlgorithms diffie-hellman-group1-sha1", "Ciphers 3des-cbc", "HostKeyAlgorithms ssh-rsa")
    with openssh(tmp_path / "old", *old, kinds=("rsa",)) as server:
        yield server


def test_a_real_shell_is_read_whole_behind_a_banner_with_an_encrypted_key(sshd: OpenSSH, tmp_path: Path) -> None:
    result = collected(sshd, tmp_path)
    assert outcome(result) == ("success", "")
    assert result.address in ("127.0.0.1", "::1")
    hostname = Path("/etc/hostname").read_text().strip()
    assert f"# file: /etc/hostname\n{hostname}\n" in result.device_config


class TestHostKeys:
    @pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
    def test_a_server_with_three_is_asked_for_the_pinned_one(self, sshd: OpenSSH, tmp_path: Path, kind: str) -> None:
        pinned = sshd.host_key(kind)
        result = collected(sshd, tmp_path, ssh={"host_keys": "strict"}, host_keys=(pinned,))
        assert (result.status, result.host_key) == ("success", pinned)

    def test_a_replaced_server_is_refused_with_both_fingerprints_and_the_command_that_accepts_it(
        self, own: OpenSSH, tmp_path: Path
    ) -> None:
        pinned = collected(own, tmp_path).host_key
        own.replace_host_key()
        logins = own.logins
        result = collected(own, tmp_path, host_keys=(pinned,))
        assert (result.error, own.logins) == ("host_key", logins)
        for key in (pinned, own.host_key()):
            assert fingerprint(key) in result.error_message
        assert result.error_message.endswith("devicevault hostkeys accept here")
        # The row has the key, for whoever finds it right; accepted, it opens the next session.
        assert result.host_key == own.host_key()
        assert collected(own, tmp_path, host_keys=(result.host_key,)).status == "success"

    def test_a_replaced_server_is_taken_where_nothing_is_checked(self, own: OpenSSH, tmp_path: Path) -> None:
        pinned = own.host_key()
        own.replace_host_key()
        assert collected(own, tmp_path, ssh={"host_keys": "off"}, host_keys=(pinned,)).status == "success"


class TestAlgorithms:
    def test_old_ones_are_used_only_where_they_are_allowed_and_are_named(
        self, old_sshd: OpenSSH, tmp_path: Path
    ) -> None:
        refused = collected(old_sshd, tmp_path)
        assert (refused.error, refused.attempt) == ("unreachable", 1)
        assert "offers no key exchange that may be used, only diffie-hellman-group1-sha1;" in refused.error_message
        assert 'algorithms = "legacy"' in refused.error_message
        allowed = collected(old_sshd, tmp_path, options={"algorithms": "legacy"})
        assert outcome(allowed) == ("success", "")
        (warning,) = [line.message for line in allowed.log if line.severity == "warning"]
        assert "3des-cbc, diffie-hellman-group1-sha1, ssh-rsa" in warning

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("Ciphers aes128-cbc,3des-cbc", "no cipher that may be used, only aes128-cbc, 3des-cbc;"),
            ("MACs hmac-md5", "no MAC that may be used, only hmac-md5;"),
            ("HostKeyAlgorithms ssh-rsa", "no host key algorithm that may be used, only ssh-rsa;"),
        ],
    )
    def test_the_failure_names_what_the_device_offers(self, tmp_path: Path, line: str, told: str) -> None:
        # An AEAD cipher has its own MAC: without one, the list of MACs counts.
        lines = (line,) if line.startswith("Ciphers") else (line, "Ciphers aes128-ctr")
        with openssh(tmp_path / "old", *lines, kinds=("rsa",)) as server:
            refused = collected(server, tmp_path)
            assert told in refused.error_message
            assert collected(server, tmp_path, options={"algorithms": "legacy"}).status == "success"

    def test_what_no_setting_can_allow_is_not_promised(self, tmp_path: Path) -> None:
        with openssh(tmp_path / "new", "Ciphers chacha20-poly1305@openssh.com") as server:
            refused = collected(server, tmp_path)
        assert refused.error == "unreachable"
        assert "only chacha20-poly1305@openssh.com; not even the old ones" in refused.error_message


class TestUserKeys:
    @pytest.mark.parametrize(
        ("kind", "passphrase"),
        [("ed25519", ""), ("ed25519", "key canary"), ("ecdsa", "key canary"), ("rsa", "key canary")],
    )
    def test_each_kind_opens_a_session(self, tmp_path: Path, own: OpenSSH, kind: str, passphrase: str) -> None:
        authorized = own.folder / "user.pub"
        key = tmp_path / "key"
        make_key(key, kind, passphrase)
        authorized.write_text(key.with_suffix(".pub").read_text())
        known = f'[credentials.lab]\nusername = "{USER}"\nkey = {{ file = "{key}" }}\n'
        known += f'passphrase = "{passphrase}"\n' if passphrase else ""
        assert outcome(collected(own, tmp_path, known)) == ("success", "")

    @pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
    def test_keys_in_pem_are_read_too(self, tmp_path: Path, own: OpenSSH, kind: str) -> None:
        """What ssh-keygen wrote before 2019, and other tools write still. Ed25519 has no other form than OpenSSH's."""
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-m", "PEM", "-t", kind, "-N", "key canary", "-f", str(key)], check=True)
        (own.folder / "user.pub").write_text(key.with_suffix(".pub").read_text())
        known = f'[credentials.lab]\nusername = "{USER}"\nkey = {{ file = "{key}" }}\npassphrase = "key canary"\n'
        assert outcome(collected(own, tmp_path, known)) == ("success", "")

    def test_a_wrong_passphrase_is_told_before_anybody_is_asked(self, own: OpenSSH, tmp_path: Path) -> None:
        result = collected(own, tmp_path, own.credential("lab").replace("key canary", "wrong"))
        assert (result.error, own.log.count("Connection closed by authenticating user")) == ("credential", 0)
        assert "its passphrase must be right" in result.error_message

    def test_a_key_nobody_authorized_is_refused_once(self, own: OpenSSH, tmp_path: Path) -> None:
        (own.folder / "user.pub").write_text(own.host_key() + "\n")
        result = collected(own, tmp_path, ssh={"attempts": 5})
        assert result.error == "auth"
        assert f"refused user {USER!r} with the key of credential 'lab'" in result.error_message
        wait_until(lambda: "closed by authenticating user" in own.log, 20, or_say=lambda: own.log)
        assert own.log.count("closed by authenticating user") == 1


class Agent:
    """A real ssh-agent with one key, which only it can sign with."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "agent"
        self.key = folder / "agent_key"
        self.process = Process(["ssh-agent", "-D", "-a", str(self.socket)], folder / "agent.log")

    def add(self, path: Path) -> None:
        environ = {**os.environ, "SSH_AUTH_SOCK": str(self.socket)}
        subprocess.run(["ssh-add", "-q", str(path)], env=environ, check=True, capture_output=True)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    # A socket's path is short: pytest's own folder may be too long for it.
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    made = Agent(folder)
    made.process.start(made.socket.exists, 20)
    yield made
    made.process.stop()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


class TestAgent:
    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    def test_its_key_opens_a_session(self, tmp_path: Path, own: OpenSSH, agent: Agent, kind: str) -> None:
        make_key(agent.key, kind)
        agent.add(agent.key)
        (own.folder / "user.pub").write_text(agent.key.with_suffix(".pub").read_text())
        agent.key.unlink()
        known = f'[credentials.lab]\nusername = "{USER}"\nagent = "{agent.socket}"\n'
        assert outcome(collected(own, tmp_path, known)) == ("success", "")

    def test_of_many_keys_the_one_named_is_offered(self, tmp_path: Path, own: OpenSSH, agent: Agent) -> None:
        """A server hangs up after six keys, whichever comes next."""
        for number in range(8):
            make_key(tmp_path / f"key{number}", "ed25519")
            agent.add(tmp_path / f"key{number}")
        public = (tmp_path / "key7.pub").read_text().strip()
        (own.folder / "user.pub").write_text(public + "\n")
        known = f'[credentials.lab]\nusername = "{USER}"\nagent = "{agent.socket}"\n'
        too_many = collected(own, tmp_path, known)
        assert too_many.error == "credential"
        assert "holds more than 5 keys" in too_many.error_message
        assert outcome(collected(own, tmp_path, known + f'key = "{public}"\n')) == ("success", "")
        other = collected(own, tmp_path, known + f'key = "{own.host_key()}"\n')
        assert (other.error, "does not hold the key" in other.error_message) == ("credential", True)

    def test_an_agent_that_is_not_there_or_does_not_answer_is_told(
        self, tmp_path: Path, own: OpenSSH, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = f'[credentials.lab]\nusername = "{USER}"\nagent = "{tmp_path}/gone"\n'
        result = collected(own, tmp_path, gone)
        assert result.error == "credential"
        assert "does not answer: No such file" in result.error_message
        monkeypatch.setattr("devicevault.collector.agent.ANSWER_S", 0.3)
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind("deaf")
            silent.listen()
            link = Path(subprocess.run(["mktemp", "-u"], capture_output=True, text=True, check=True).stdout.strip())
            link.symlink_to(tmp_path / "deaf")
            result = collected(own, tmp_path, gone.replace(f"{tmp_path}/gone", str(link)))
            link.unlink()
        assert (result.error, "does not answer" in result.error_message) == ("credential", True)

    def test_a_jump_hosts_key_can_be_in_an_agent(
        self, tmp_path: Path, own: OpenSSH, sshd: OpenSSH, agent: Agent
    ) -> None:
        make_key(agent.key, "ed25519")
        agent.add(agent.key)
        (own.folder / "user.pub").write_text(agent.key.with_suffix(".pub").read_text())
        known = f'[credentials.hop]\nusername = "{USER}"\nagent = "{agent.socket}"\n' + sshd.credential("lab")
        context = make_context(tmp_path, known, attempts=1)
        jump = JumpSettings(address="127.0.0.1", port=own.port, credential="hop", host_key=(own.host_key(),))
        context = replace(context, settings=context.settings.model_copy(update={"jumps": {"own": jump}}))
        result = collect(request_to(sshd, jump=("own",)), context)
        assert outcome(result) == ("success", "")
        assert own.logins == 1
