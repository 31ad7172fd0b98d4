"""Settings of jump hosts and proxies: ``[jumps.NAME]``, and the ways that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from devicevault.errors import ConfigurationError, Fault
from devicevault.settings import document, load_settings, load_settings_with_origins

BASTION = '[jumps.bastion]\naddress = "192.0.2.1"\ncredential = "hop"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def only_fault(config: Path, text: str, environ: dict[str, str] | None = None) -> Fault:
    config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ or {})
    (fault,) = caught.value.faults
    return fault


def test_a_group_has_a_way_of_its_own_through_jumps_each_with_its_kinds_port(config: Path) -> None:
    config.write_text(
        BASTION + '[jumps.proxy]\nkind = "socks5"\naddress = "proxy"\n[groups.dmz]\nssh.jump = ["proxy", "bastion"]\n'
    )
    settings = load_settings(config, {})
    assert settings.ssh.jump == ()
    assert settings.for_group("dmz").ssh.jump == ("proxy", "bastion")
    assert [settings.jumps[name].usual_port for name in ("proxy", "bastion")] == [1080, 22]


def test_a_variable_reaches_a_jump_with_a_hyphen_that_the_file_speaks_of(config: Path) -> None:
    config.write_text(BASTION.replace("bastion", "bastion-2"))
    settings = load_settings(config, {"DEVICEVAULT_JUMPS__BASTION_2__SESSIONS": "7"})
    assert settings.jumps["bastion-2"].sessions == 7


@pytest.mark.parametrize("table", ["ssh", "groups.dmz.ssh"])
def test_a_way_through_a_jump_that_is_nowhere_names_the_nearest(config: Path, table: str) -> None:
    fault = only_fault(config, BASTION + f'[{table}]\njump = ["bastoin"]\n')
    assert (fault.key, fault.line) == (f"{table}.jump", 5)
    assert "did you mean 'bastion'" in str(fault)


def test_no_way_leads_through_a_jump_twice(config: Path) -> None:
    assert "twice" in only_fault(config, BASTION + '[ssh]\njump = ["bastion", "bastion"]\n').problem


@pytest.mark.parametrize(
    ("lines", "key", "told"),
    [
        ("", "jumps.bastion", "no address"),
        ('credential = "hop"\n', "jumps.bastion", "no address"),
        ('address = "192.0.2.1"\n', "jumps.bastion", "no credential"),
        ('address = "a"\ncredential = "b"\nhost_key = ["192.0.2.1 ssh-ed25519 AAAA"]\n', "host_key", "ssh-keyscan"),
        ('address = "a"\ncredential = "b"\nprot = 22\n', "jumps.bastion.prot", "did you mean 'port'"),
        ('address = "a"\ncredential = "b"\nkind = "socks"\n', "jumps.bastion.kind", "did you mean 'socks5'"),
    ],
)
def test_what_is_wrong_with_a_jump_is_one_fault_whatever_leads_through_it(
    config: Path, lines: str, key: str, told: str
) -> None:
    fault = only_fault(config, "[jumps.bastion]\n" + lines + '[ssh]\njump = ["bastion"]\n')
    assert key in fault.key
    assert told in str(fault)


@pytest.mark.parametrize("name", ["BASTION", "a__b", "-"])
def test_a_name_that_can_be_no_jumps_is_a_fault(config: Path, name: str) -> None:
    assert "not a jump's name" in only_fault(config, BASTION.replace("bastion", f'"{name}"')).problem


@pytest.mark.parametrize("addresses", [["eth0"], ["192.0.2.1", "192.0.2.2"], ["192.0.2.0/24"]])
def test_a_source_address_is_one_ip_address_of_each_family(config: Path, addresses: list[str]) -> None:
    assert only_fault(config, f"[ssh]\nsource_address = {addresses}\n").key == "ssh.source_address"


def test_what_a_jump_sets_is_shown_with_its_origin(config: Path) -> None:
    config.write_text(BASTION)
    shown = {row.key: row for row in document.shown(load_settings_with_origins(config, {}))}
    assert str(shown["jumps.bastion.address"].origin) == f"{config}:2"
    assert shown["jumps.bastion.address"].variable == "DEVICEVAULT_JUMPS__BASTION__ADDRESS"
    assert "jumps.bastion.port" not in shown
