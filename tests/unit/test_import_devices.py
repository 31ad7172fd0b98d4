"""``devicevault devices import``: what others had becomes an inventory, and what can't be is told."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devicevault.cli import main
from devicevault.errors import ExitCode
from devicevault.inventory import Device, Inventory, load_inventory
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from tests.netbox import TOKEN, device, web_server

OXIDIZED = """\
---
username: oxi
password: T0pS3cret
model: junos
interval: 3600
prompt: !ruby/regexp /^([\\w.@-]+[#>]\\s?)$/
vars:
  enable: En4bleS3cret
  remove_secret: true
groups:
  Main Site: {username: mainuser, password: M4inS3cret}
models:
  asa: {username: asauser, password: As4S3cret, vars: {ssh_no_keepalive: true}}
source:
  default: csv
  csv:
    file: ~/.config/oxidized/router.db
    delimiter: !ruby/regexp /:/
    map: {name: 0, ip: 1, model: 2, group: 3, username: 4, password: 5, input: 6}
    vars_map: {enable: 7, ssh_port: 8, ssh_kex: 9, ssh_proxy: 10}
model_map:
  cisco: ios
  !ruby/regexp /^catalyst/i: ios
group_map:
  alias: Main Site
"""

ROUTER_DB = """\
# name:ip:model:group:user:password:input:enable:port:kex:proxy
sw1:192.0.2.1:cisco:Main Site:bob:hunter2:ssh:Un1queS3cret:2222::
sw2:192.0.2.2:Catalyst 2960:alias:nil:nil:telnet:::diffie-hellman-group1-sha1:

fw1:192.0.2.3:fortios:dmz:::::::bastion
old:192.0.2.4:acsw:dmz::::::
bad name:192.0.2.6:ios:dmz
usual:192.0.2.5:::::::
sw1:192.0.2.1:ios:dmz
"""

SECRETS = re.compile(r"S3cret|hunter2|mainuser|asauser|\boxi\b|\bbob\b")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(f'[inventory]\npath = "{tmp_path}/devices.toml"\n')
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(folder / "config.toml"), "devices", "import", *arguments])


def imported(folder: Path, *arguments: str) -> tuple[Inventory, str]:
    """The inventory that was written, as it loads, and what was told."""
    result = run(folder, *arguments, "--output", "devices.toml", "--force")
    assert result.exit_code == ExitCode.DONE, result.output
    assert result.stdout == ""
    assert not SECRETS.search((folder / "devices.toml").read_text() + result.stderr)
    settings = Settings.model_validate({"inventory": {"path": folder / "devices.toml"}})
    return load_inventory(settings, Platforms.load(None).names()), result.stderr


def brief(inventory: Inventory) -> list[tuple[str, str, str, str]]:
    return [(one.name, one.address, one.platform, one.group) for one in inventory]


def test_oxidized_with_its_settings(folder: Path) -> None:
    (folder / "oxidized").mkdir()
    (folder / "oxidized" / "config").write_text(OXIDIZED)
    (folder / "oxidized" / "router.db").write_text(ROUTER_DB)
    inventory, told = imported(folder, "--from", "oxidized", "oxidized/config")
    assert brief(inventory) == [
        ("sw1", "192.0.2.1", "cisco_ios", "main-site"),
        ("sw2", "192.0.2.2", "cisco_ios", "main-site"),
        ("fw1", "192.0.2.3", "fortinet_fortios", "dmz"),
        ("usual", "192.0.2.5", "juniper_junos", "default"),
    ]
    sw1, sw2, *_ = inventory
    assert (sw1.port, sw1.credentials, sw1.transport) == (2222, ("main-site",), "ssh")
    assert (sw2.port, sw2.algorithms, sw2.transport) == (23, "legacy", "telnet")
    assert "4 devices written to devices.toml" in told
    for sentence in (
        "left out: no platform page for 'acsw': old",
        "left out: 'bad name' can't be a device's name: bad name",
        "left out: a device of this name is there already: sw1",
        "note: groups have other names here: 'Main Site' is 'main-site'",
        "systemctl enable --now devicevault-worker@dmz devicevault-worker@main-site",
        "note: add [credentials.main-site] to credentials.toml",
        "they stand in: username, password, vars.enable, groups.Main Site, models.asa",
        "devices have logins of their own (enable, password, username), which are not carried over",
        "note: reached by telnet as before, though everybody on the way can read the password: sw2",
        "note: not carried over: models.asa.vars.ssh_no_keepalive, ssh_proxy, vars.remove_secret",
    ):
        assert sentence in told
    commented = [line for line in (folder / "devices.toml").read_text().splitlines() if line.startswith("#[")]
    assert commented == ["#[devices.old]", '#[devices."bad name"]', "#[devices.sw1]"]


def test_old_groups_become_tags_where_one_group_is_asked_for(folder: Path) -> None:
    (folder / "config").write_text(OXIDIZED)
    (folder / "router.db").write_text(ROUTER_DB)
    inventory, told = imported(folder, "--from", "oxidized", "config", "--group", "emea")
    assert [(one.group, one.tags) for one in inventory][:3] == [
        ("emea", ("Main-Site",)),
        ("emea", ("Main-Site",)),
        ("emea", ("dmz",)),
    ]
    assert "devicevault-worker@" not in told


ROUTER_DBS = [
    ("r1:ios:core\nr2:junos:edge\n", "name, platform, group", ("r1", "r1", "cisco_ios", "core")),
    ("r1:ios\n", "name, platform", ("r1", "r1", "cisco_ios", "default")),
    ("r1:192.0.2.1:ios:core\n", "name, address, platform, group", ("r1", "192.0.2.1", "cisco_ios", "core")),
    ("r1:ios:bob:hunter2:Un1S3cret\n", "name, platform, -, -, -", ("r1", "r1", "cisco_ios", "default")),
    (
        "r1,192.0.2.1,ios,bob,hunter2,Un1S3cret\n",
        "name, address, platform, -, -, -",
        ("r1", "192.0.2.1", "cisco_ios", "default"),
    ),
    ("2001:db8::1;ios\n", "name, platform", ("2001:db8::1", "2001:db8::1", "cisco_ios", "default")),
]


@pytest.mark.parametrize(("text", "columns", "expected"), ROUTER_DBS)
def test_a_router_db_alone_in_its_usual_forms(folder: Path, text: str, columns: str, expected: tuple[str, ...]) -> None:
    (folder / "router.db").write_text(text)
    inventory, told = imported(folder, "--from", "oxidized", "router.db")
    assert brief(inventory)[0] == expected
    assert f"were taken for: {columns}; --columns says it otherwise" in told


def test_columns_can_be_told_where_they_can_not_be_guessed(folder: Path) -> None:
    (folder / "router.db").write_text("core|r1|frobnicator|192.0.2.1\n")
    unclear = run(folder, "--from", "oxidized", "router.db")
    assert unclear.exit_code == ExitCode.USAGE
    assert "--columns" in unclear.stderr
    inventory, _ = imported(
        folder,
        *("--from", "oxidized", "router.db", "--columns", "group,name,platform,address"),
        "--platform",
        "frob*=linux",
    )
    assert brief(inventory) == [("r1", "192.0.2.1", "linux", "core")]


def test_oxidized_with_json(folder: Path) -> None:
    (folder / "config").write_text(
        "source:\n  default: jsonfile\n  jsonfile:\n    file: /srv/nodes.json\n    hosts_location: data\n"
        "    map: {name: host.name, ip: host.ip, model: os}\n"
    )
    (folder / "nodes.json").write_text('{"data": [{"host": {"name": "r1", "ip": "192.0.2.1"}, "os": "eos"}]}')
    inventory, _ = imported(folder, "--from", "oxidized", "config")
    assert brief(inventory) == [("r1", "192.0.2.1", "arista_eos", "default")]


def test_oxidized_by_its_rest_interface(folder: Path) -> None:
    nodes = [
        {
            "name": "r1",
            "full_name": "dmz/r1",
            "ip": "192.0.2.1",
            "group": "dmz",
            "model": "IOS",
            "vars": {"enable": "S3cret"},
        },
        {"name": "r2", "full_name": "r2", "ip": "192.0.2.2", "group": None, "model": "JunOS", "last": None},
    ]
    with web_server(body=json.dumps(nodes).encode()) as server:
        inventory, told = imported(folder, "--from", "oxidized", server.url)
        assert [path for path, _ in server.asked] == ["/nodes.json"]
    assert brief(inventory) == [
        ("r1", "192.0.2.1", "cisco_ios", "dmz"),
        ("r2", "192.0.2.2", "juniper_junos", "default"),
    ]
    assert "nor any login" in told


@pytest.mark.parametrize(("kind", "words"), [("http", "sources.NAME"), ("csv:\n    gpg: true\n  x", "GnuPG")])
def test_what_of_oxidized_can_not_be_read_is_told_with_the_way_out(folder: Path, kind: str, words: str) -> None:
    default = "http" if kind == "http" else "csv"
    (folder / "config").write_text(f"source:\n  default: {default}\n  {kind}:\n    url: https://x\n")
    result = run(folder, "--from", "oxidized", "config")
    assert result.exit_code == ExitCode.USAGE
    assert words in result.stderr


def test_rancid_with_a_folder_for_each_group(folder: Path) -> None:
    for group, text in {
        "net": "r1;cisco;up\nr2.example.net;juniper;down;gone\nr3;xirrus;up\n",
        "fw": "f1:fortigate:up\n",
    }.items():
        (folder / "rancid" / group).mkdir(parents=True)
        (folder / "rancid" / group / "router.db").write_text(text)
    inventory, told = imported(folder, "--from", "rancid", "rancid")
    assert brief(inventory) == [
        ("f1", "f1", "fortinet_fortios", "fw"),
        ("r1", "r1", "cisco_ios", "net"),
        ("r2.example.net", "r2.example.net", "juniper_junos", "net"),
    ]
    assert [one.enabled for one in inventory] == [True, True, False]
    assert "left out: no platform page for 'xirrus': r3" in told
    assert ".cloginrc" in told
    single, _ = imported(folder, "--from", "rancid", "rancid/net/router.db", "--platform", "cisco=cisco_asa")
    assert [(one.platform, one.group) for one in single] == [("cisco_asa", "net"), ("juniper_junos", "net")]


def test_netbox_with_its_sites_as_groups(folder: Path) -> None:
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(TOKEN)
    with web_server(devices=[device(1), device(2, platform=None), device(3, site={"slug": "ham-2"})]) as server:
        inventory, told = imported(folder, "--from", "netbox", server.url, "--token-file", "token")
        assert run(folder, "--from", "netbox", server.url).exit_code == ExitCode.USAGE
    assert brief(inventory) == [
        ("sw1", "192.0.2.1", "cisco_ios", "ber1"),
        ("sw3", "192.0.2.3", "cisco_ios", "ham-2"),
    ]
    assert next(iter(inventory)).tags == ("core-net", "access-switch")
    assert "left out: it has no platform: sw2" in told


def test_csv_and_ansible(folder: Path) -> None:
    (folder / "list.csv").write_text("name;address;platform;tags\nr1;192.0.2.1;catalyst-9300;core access\n")
    inventory, _ = imported(folder, "--from", "csv", "list.csv", "--platform", "catalyst*=cisco_ios")
    assert list(inventory) == [
        Device("r1", "r1", "192.0.2.1", "cisco_ios", credentials=("default",), tags=("core", "access"))
    ]
    (folder / "list.csv").write_text("name,platform,transport,jump,options.slot\nr1,ios,telnet,-,3\nr2,ios,,a,\n")
    inventory, _ = imported(folder, "--from", "csv", "list.csv")
    assert [(one.transport, one.jump, one.options) for one in inventory] == [
        ("telnet", (), {"slot": 3}),
        ("ssh", ("a",), {}),
    ]
    (folder / "list.csv").write_text("Hostname,Device Type,Management IP,Rack\nr1,ios,192.0.2.7,4\n")
    inventory, _ = imported(folder, "--from", "csv", "list.csv")
    assert [(one.name, one.platform, one.address) for one in inventory] == [("r1", "cisco_ios", "192.0.2.7")]
    (folder / "list.csv").write_text("what,os\nr1,ios\n")
    assert "no column of list.csv is called name; name the columns" in run(folder, "--from", "csv", "list.csv").stderr
    (folder / "hosts").write_text(
        "[core]\nr[1:2] ansible_network_os=arista.eos.eos ansible_port=24 ansible_password=S3cret\n"
    )
    inventory, _ = imported(folder, "--from", "ansible", "hosts")
    assert [(one.name, one.port, one.platform, one.tags) for one in inventory] == [
        ("r1", 24, "arista_eos", ("core",)),
        ("r2", 24, "arista_eos", ("core",)),
    ]


def test_no_file_is_overwritten_unless_it_must_be(folder: Path) -> None:
    (folder / "router.db").write_text("r1:ios:default\n")
    (folder / "devices.toml").write_text("mine")
    refused = run(folder, "--from", "oxidized", "router.db", "-o", "devices.toml")
    assert (refused.exit_code, (folder / "devices.toml").read_text()) == (ExitCode.USAGE, "mine")
    assert "devices.toml is there already; write to another file, or add --force" in refused.stderr
    assert run(folder, "--from", "oxidized", "router.db", "-o", "devices.toml", "--force").exit_code == ExitCode.DONE
    assert "[devices.r1]" in (folder / "devices.toml").read_text()
    assert stat.S_IMODE((folder / "devices.toml").stat().st_mode) == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "devices.toml", "router.db"]


def test_without_a_file_the_inventory_alone_is_on_stdout(folder: Path) -> None:
    (folder / "router.db").write_text("r1:ios:core\nr2:toaster:core\n")
    result = run(folder, "--from", "oxidized", "router.db")
    assert result.stdout.startswith("# From Oxidized's router.db.")
    assert "left out: no platform page for 'toaster': r2" in result.stderr
    assert "note:" not in result.stdout


def test_a_hostile_name_can_not_leave_its_comment(folder: Path) -> None:
    (folder / "list.csv").write_text('name,platform\n"a\n[devices.evil]",linux\n"b""]\r[defaults]",linux\n')
    result = run(folder, "--from", "csv", "list.csv", "--delimiter", ",", "-o", "devices.toml")
    assert result.exit_code == ExitCode.DEVICES_FAILED, "nothing was left to write"
    live = [line for line in (folder / "devices.toml").read_text().splitlines() if line and not line.startswith("#")]
    assert live == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "oxidized", "nowhere"), "nowhere can't be read: No such file"),
        (("--from", "rancid", "."), "there is no router.db"),
        (("--from", "csv", "nowhere"), "nowhere can't be read"),
        (("--from", "ansible", "nowhere"), "nowhere can't be read"),
        (("--from", "netbox", "netbox.example.net"), "is not a URL"),
        (
            ("--from", "csv", "x", "--platform", "a=cisco_iox"),
            "unknown platform 'cisco_iox'; did you mean 'cisco_ios'?",
        ),
        (("--from", "csv", "x", "--platform", "a"), "has no OLD=NEW"),
        (("--from", "csv", "x", "--group", "A B"), "can't be a group's name"),
    ],
)
def test_what_is_wrong_is_told_in_words(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert words in result.stderr
