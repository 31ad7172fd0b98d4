"""Settings of the git mirror and of the receivers of notices: no secret in them, and faults that say what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from devicevault.errors import ConfigurationError, Fault
from devicevault.settings import document, load_settings, load_settings_with_origins

NOC = '[receivers.noc]\napprise = { file = "/etc/devicevault/noc.url" }\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def only_fault(config: Path, text: str) -> Fault:
    config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, {})
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "ssh://git@git.example.net/network.git",
        "git@git.example.net:network.git",
        "https://vault@git.example.net/network.git",
        "http://127.0.0.1:8080/x.git",
        "file:///srv/mirror.git",
        "/srv/mirror.git",
    ],
)
def test_a_remote_is_whatever_git_pushes_to(config: Path, remote: str) -> None:
    config.write_text(f'[mirror]\nremote = "{remote}"\n')
    assert load_settings(config, {}).mirror.remote == remote


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("https://vault:hunter2@git.example.net/x.git", "holds a password"),
        ("ext::sh -c evil", "holds a space"),
        ("ext::evil", "nothing git can push to"),
        ("--upload-pack=evil", "nothing git can push to"),
        ("relative/path", "nothing git can push to"),
        ("ftp://git.example.net/x.git", "not such a URL"),
    ],
)
def test_any_other_remote_is_refused_without_its_password(config: Path, remote: str, told: str) -> None:
    fault = only_fault(config, f'[mirror]\nremote = "{remote}"\n')
    assert told in str(fault)
    assert "hunter2" not in str(fault)


def test_a_receiver_has_its_choices(config: Path) -> None:
    config.write_text(
        NOC + 'kinds = ["failing", "recovered"]\ngroups = ["dmz"]\ndigest_s = 3600\n'
        '[receivers.ticket]\ncommand = ["/usr/bin/ticket", "network"]\n'
    )
    receivers = load_settings(config, {}).receivers
    assert receivers["noc"].apprise == {"file": "/etc/devicevault/noc.url"}
    assert (receivers["noc"].kinds, receivers["noc"].groups) == (("failing", "recovered"), ("dmz",))
    assert receivers["ticket"].command == ("/usr/bin/ticket", "network")


def test_a_variable_sets_a_receivers_keys_too(config: Path) -> None:
    config.write_text(NOC)
    environ = {"DEVICEVAULT_RECEIVERS__NOC__DIGEST_S": "60", "DEVICEVAULT_RECEIVERS__NOC__KINDS": '["failing"]'}
    receiver = load_settings(config, environ).receivers["noc"]
    assert (receiver.digest_s, receiver.kinds) == (60, ("failing",))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "apprise or command"),
        ("digest_s = 5\n", "apprise or command"),
        ('apprise = { file = "/a" }\ncommand = ["/b"]\n', "apprise or command"),
        ('apprise = "json://user:hunter2@host"\n', "must be a table"),
        ('apprise = { url = "json://user:hunter2@host" }\n', "{ file = "),
        ('apprise = { file = "json://user:hunter2@host" }\n', "holds a URL itself"),
        ('command = ["ticket"]\n', "absolute path"),
        ('command = ["/b"]\nkinds = ["changes"]\n', "'changed'"),
        ('command = ["/b"]\ngroups = ["DMZ"]\n', "group's name"),
        ('command = ["/b"]\ndigest = 5\n', "did you mean 'digest_s'"),
    ],
)
def test_what_is_wrong_with_a_receiver_is_told_without_any_secret(config: Path, lines: str, told: str) -> None:
    fault = only_fault(config, "[receivers.noc]\n" + lines)
    assert told in str(fault)
    assert "hunter2" not in str(fault)
    assert fault.line is not None


def test_what_a_receiver_sets_is_shown_with_its_origin(config: Path) -> None:
    config.write_text(NOC)
    shown = {row.key: row for row in document.shown(load_settings_with_origins(config, {}))}
    assert shown["receivers.noc.apprise"].value == {"file": "/etc/devicevault/noc.url"}
    assert str(shown["receivers.noc.apprise"].origin) == f"{config}:2"
