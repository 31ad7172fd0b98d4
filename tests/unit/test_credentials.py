"""Credentials are read where they are used, only for whom they are meant, and never shown."""

from __future__ import annotations

import os
import select
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devicevault.credentials import CredentialStore, known_credentials
from devicevault.errors import ConfigurationError, CredentialUnusable

Load = Callable[..., CredentialStore]
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.toml"


@pytest.fixture
def load(path: Path) -> Load:
    def load(text: str, mode: int = 0o640) -> CredentialStore:
        path.write_text(text)
        path.chmod(mode)
        return CredentialStore.load(path)

    return load


def lab(lines: str) -> str:
    return f'[credentials.lab]\nusername = "backup"\n{lines}\n'


def faults_in(load: Load, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    return [str(fault).split("credentials.toml", 1)[1] for fault in caught.value.faults]


def test_literal_secrets(load: Load) -> None:
    store = load(lab(f'password = "p w"\nenable = "e"\npassphrase = "pp"\nkey = """\n{PEM}"""'))
    credential = store.resolve("lab")
    assert (credential.username, credential.password, credential.enable) == ("backup", "p w", "e")
    assert (credential.key, credential.passphrase) == (PEM, "pp")
    assert set(credential.secrets) == {"p w", "e", "pp", PEM}


def test_a_file_is_read_at_each_use_from_the_folder_of_the_credentials(load: Load, tmp_path: Path) -> None:
    secret = tmp_path / "lab.password"
    secret.write_text("first\nnotes below\n")
    secret.chmod(0o600)
    store = load(lab('password = { file = "lab.password" }'))
    assert store.resolve("lab").password == "first"
    secret.write_text("second\r\n")
    assert store.resolve("lab").password == "second"


def test_a_key_is_read_whole(load: Load, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("\n" + PEM + "\n\n")
    (tmp_path / "id").chmod(0o400)
    assert load(lab('key = { file = "id" }')).resolve("lab").key == PEM


def test_a_systemd_credential(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "lab-password").write_text("from systemd\n")
    assert load(lab('password = { systemd = "lab-password" }')).resolve("lab").password == "from systemd"


def test_a_variable(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", "from the environment")
    assert load(lab('password = { env = "LAB_PASSWORD" }')).resolve("lab").password == "from the environment"


def test_a_command_runs_without_a_shell_and_its_first_line_counts(load: Load) -> None:
    store = load(lab("""password = { command = ["printf", "%s\\\\n", "$HOME; no shell", "notes"] }"""))
    assert store.resolve("lab").password == "$HOME; no shell"


def test_many_devices_share_one_run_of_a_command(load: Load, tmp_path: Path) -> None:
    script = "echo run >> runs; sleep 0.2; echo secret"
    store = load(lab(f'password = {{ command = ["sh", "-c", "{script}"] }}'))
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(store.resolve("lab").password)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["secret"] * 20
    assert (tmp_path / "runs").read_text() == "run\n"


def test_an_answer_that_is_not_kept_is_asked_for_again(load: Load, tmp_path: Path) -> None:
    store = load(lab('password = { command = ["sh", "-c", "echo run >> runs; wc -l < runs"], cache_s = 0 }'))
    assert [store.resolve("lab").password.strip() for _ in range(2)] == ["1", "2"]


def test_a_hanging_command_is_ended_with_all_it_started(load: Load, tmp_path: Path) -> None:
    script = "echo $$ > pid; sleep 60 & echo $! > child; wait"
    store = load(lab(f'password = {{ command = ["sh", "-c", "{script}"], timeout_s = 0.5 }}'))
    begun = time.monotonic()
    with pytest.raises(CredentialUnusable, match=r"took longer than 0\.5 s"):
        store.resolve("lab")
    assert time.monotonic() - begun < 5
    for name in ("pid", "child"):
        assert _ends(int((tmp_path / name).read_text()))


def _ends(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 5)[0])
    finally:
        os.close(descriptor)


def test_a_failing_command_is_not_started_again_for_every_device(load: Load, tmp_path: Path) -> None:
    store = load(lab('password = { command = ["sh", "-c", "echo run >> runs; echo s3cret >&2; exit 3"] }'))
    for _ in range(3):
        with pytest.raises(CredentialUnusable, match="the command sh ended with code 3") as caught:
            store.resolve("lab")
        assert "s3cret" not in str(caught.value)
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('password = { file = "missing" }', "password: .*/missing can't be read: No such file"),
        ('password = { systemd = "x" }', "systemd passed no credentials"),
        ('password = { env = "NOT_SET_ANYWHERE" }', "the variable NOT_SET_ANYWHERE is not set"),
        ('password = { command = ["/no/such/program"] }', "can't be started: No such file"),
        ('password = { command = ["true"] }', "the secret read is empty"),
    ],
)
def test_a_secret_that_is_not_there_is_told(load: Load, monkeypatch: pytest.MonkeyPatch, lines: str, told: str) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    store = load(lab(lines))
    with pytest.raises(CredentialUnusable, match=f"credential 'lab', .*{told}") as caught:
        store.resolve("lab")
    assert caught.value.code == "credential"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o642, 0o660, 0o641])
def test_a_file_that_others_can_get_at_is_refused(load: Load, mode: int) -> None:
    with pytest.raises(ConfigurationError, match=r"can (get at|change) it .*; run: chmod u=rw,g=r,o= "):
        load(lab('password = "x"'), mode=mode)


def test_a_secret_file_that_others_can_read_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("secret")
    (tmp_path / "p").chmod(0o644)
    with pytest.raises(CredentialUnusable, match="other users of this host can get at it"):
        load(lab('password = { file = "p" }')).resolve("lab")


BOUND = lab('password = "x"\nnetworks = ["10.0.0.0/8", "2001:db8::/32"]\ngroups = ["dmz"]')


@pytest.mark.parametrize("address", ["10.1.2.3", "2001:db8::1", "::ffff:10.1.2.3"])
def test_a_bound_credential_is_given_inside_its_bounds(load: Load, address: str) -> None:
    assert load(BOUND).resolve("lab", address=address, group="dmz").password == "x"


@pytest.mark.parametrize("address", ["11.1.2.3", "2001:db9::1", "", "::ffff:11.1.2.3", "fe80::1%eth0"])
def test_a_bound_credential_is_not_given_to_a_stranger(load: Load, address: str) -> None:
    with pytest.raises(CredentialUnusable, match=r"not for the address .* widen credentials\.lab\.networks"):
        load(BOUND).resolve("lab", address=address, group="dmz")


def test_a_bound_credential_is_not_given_to_a_name_whose_address_nobody_here_knows(load: Load) -> None:
    with pytest.raises(CredentialUnusable, match=r"not for the address 10\.0\.0\.1\.example\.net; .* IP address"):
        load(BOUND).resolve("lab", address="10.0.0.1.example.net", group="dmz")


def test_credentials_bound_to_nothing_are_known(load: Load) -> None:
    bound = '[credentials.{0}]\nusername = "x"\npassword = "x"\n{1}\n'
    ways = {"a": "", "b": 'networks = ["10.0.0.0/8"]', "c": 'groups = ["dmz"]', "d": "telnet = true"}
    assert load("".join(bound.format(*way) for way in ways.items())).unbound() == ("a", "d")


def test_a_credential_is_typed_over_telnet_only_where_it_says_so(load: Load) -> None:
    assert load(lab('password = "x"\ntelnet = true')).resolve("lab", telnet=True).password == "x"
    with pytest.raises(CredentialUnusable, match=r"not for telnet.*telnet = true in \[credentials\.lab\]"):
        load(lab('password = "x"')).resolve("lab", telnet=True)
    assert faults_in(load, lab('password = "x"\ntelnet = "yes"')) == [
        ":4: credentials.lab.telnet: must be true or false, without quotes"
    ]


def test_an_agent_is_the_one_named_or_the_environments(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(lab('agent = "/run/agent"')).resolve("lab").agent == "/run/agent"
    assert load(lab('password = "x"\nagent = false')).resolve("lab").agent == ""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/mine")
    assert load(lab("agent = true")).resolve("lab").agent == "/run/mine"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(CredentialUnusable, match="SSH_AUTH_SOCK is not set"):
        load(lab("agent = true")).resolve("lab")
    assert "agent's socket" in faults_in(load, lab('agent = "sock"'))[0]


def test_with_an_agent_a_key_may_be_public(load: Load) -> None:
    public = 'key = "ssh-ed25519 AAAAC3Nz backup@worker"'
    assert load(lab(f"agent = true\n{public}"))
    assert "not a private key" in faults_in(load, lab(public))[0]


def test_a_bound_credential_is_not_given_to_another_group(load: Load) -> None:
    with pytest.raises(CredentialUnusable, match="not for collector group 'default'"):
        load(BOUND).resolve("lab", address="10.0.0.1", group="default")


def test_an_unknown_name_is_told_with_the_nearest(load: Load) -> None:
    with pytest.raises(CredentialUnusable, match="no credential 'lap'; did you mean 'lab'"):
        load(lab('password = "x"')).resolve("lap")


def test_every_fault_is_found_in_one_pass(load: Load) -> None:
    text = """[lab]
username = "x"
[credentials.a]
usrname = "x"
password = ""
[credentials.b]
username = "x"
passphrase = { file = "x", env = "y" }
networks = ["10.0.0.1/8", "nowhere"]
groups = "dmz"
[credentials.b]
[credentials.c]
username = 5
key = "/etc/key"
networks = []
groups = ["DMZ"]
[credentials.d]
username = "x"
password = { command = "pass show x" }
key = { command = ["x"], timeout_s = "1" }
enable = { command = ["x"], shell = true }
"""
    assert faults_in(load, text) == [
        ":1: lab: does not belong here; a credential stands in a table [credentials.NAME]",
        ':3: credentials.a: has no username; add: username = "NAME"',
        ":4: credentials.a.usrname: unknown key; did you mean 'username'?",
        ":5: credentials.a.password: is empty; leave the key out where there is no secret",
        ":6: credentials.b: has neither password nor key; add one of the two, or agent",
        ":8: credentials.b.passphrase: a table says where the secret is with one of: file, systemd, env, command",
        ':9: credentials.b.networks: \'10.0.0.1/8\' is not a network; write it as "10.0.0.0/8" or "2001:db8::/32"',
        ':9: credentials.b.networks: \'nowhere\' is not a network; write it as "10.0.0.0/8" or "2001:db8::/32"',
        ':10: credentials.b.groups: is not a list of texts; write groups = ["…"], or leave it out',
        ":11: credentials.b: this table is already there, on line 6; remove or rename one of the two",
        ':13: credentials.c.username: is a text, or a table such as { file = "PATH" }',
        ':14: credentials.c.key: is not a private key; for a key in a file write { file = "PATH" }',
        ':15: credentials.c.networks: is not a list of texts; write networks = ["…"], or leave it out',
        ":16: credentials.c.groups: 'DMZ' can't be a group's name; small letters, digits, - and _",
        ":19: credentials.d.password: a table says where the secret is with one of: file, systemd, env, command",
        ":20: credentials.d.key: timeout_s is a number of seconds from above 0 to 300",
        ":21: credentials.d.enable: unknown key 'shell'; beside command there are timeout_s and cache_s",
    ]


SECRETS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=12, max_size=20).map(
    lambda text: "Zq9" + text
)


@given(secret=SECRETS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_secret_shows_in_a_repr_or_an_error(load: Load, secret: str) -> None:
    quoted = '"' + secret.replace("\\", "\\\\").replace('"', '\\"') + '"'
    store = load(lab(f'password = {quoted}\nenable = {quoted}\npassphrase = {quoted}\nkey = {{ file = "x" }}'))
    shown = [repr(store), repr(vars(store))]
    store = load(lab(f"password = {quoted}\nenable = {quoted}"))
    shown.append(f"{store.resolve('lab')} {store.resolve('lab')!r}")
    for broken in (f"password = {secret}\n", f"password = {quoted}\nkey = {quoted}\nenable = [{quoted}]\n"):
        with pytest.raises(ConfigurationError) as caught:
            load(lab(broken))
        shown.append(f"{caught.value} {caught.value!r} {caught.value.__cause__!r}")
    assert not [text for text in shown if secret in text]


def test_known_credentials_of_a_host_without_the_file(path: Path, load: Load) -> None:
    """Credentials live on the workers: elsewhere their absence is no fault."""
    assert known_credentials(path) is None
    load(lab('password = "x"'))
    assert known_credentials(path) == ("lab",)


def test_known_credentials_of_a_wrong_file_are_a_fault(path: Path) -> None:
    path.write_text("[credentials.x]\n")
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="has no username"):
        known_credentials(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_known_credentials_of_a_file_this_user_may_not_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "credentials.toml")
        path.touch(mode=0o600)
        os.seteuid(65534)
        try:
            assert known_credentials(path) is None
            with pytest.raises(ConfigurationError, match="this user may not read it"):
                CredentialStore.load(path)
        finally:
            os.seteuid(0)
