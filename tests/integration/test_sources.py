"""Sources of devices that are asked over HTTP: what they say, and what remains of it once they fail."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devicevault.errors import ConfigurationError, ExitCode, InventoryUnavailable
from devicevault.inventory import Inventory, load_inventory
from devicevault.settings import Settings
from tests.certificates import Authority
from tests.netbox import TOKEN, WebServer, device, web_server
from tests.servers import free_port

PLATFORMS = ("arista_eos", "cisco_ios", "juniper_junos", "linux")
NETBOX = """
[groups.emea]
port = 2222
[sources.cmdb]
kind = "netbox"
url = "{url}"
token = {{ file = "token" }}
cache_s = 0
"""

Load = Callable[..., Inventory]


@pytest.fixture
def netbox() -> Iterator[WebServer]:
    with web_server(devices=[device(n) for n in range(1, 13)]) as server:
        yield server


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(TOKEN + "\n")
    path = tmp_path / "devices.toml"

    def load(text: str, **how: Any) -> Inventory:
        path.write_text(text)
        layout = {"path": path, "kept_dir": tmp_path / "kept"}
        return load_inventory(Settings.model_validate({"inventory": layout}), PLATFORMS, **how)

    return load


def names(inventory: Inventory) -> list[str]:
    return [device.name for device in inventory]


def test_netbox_devices_with_all_they_have_there(load: Load, netbox: WebServer) -> None:
    netbox.devices = [
        device(1, custom_fields={"devicevault_credential": "core", "devicevault_group": "emea"}),
        device(2, primary_ip={"address": "2001:db8::2/64"}, platform={"slug": "junos"}, tags=[]),
        device(3, status={"value": "offline"}),
        device(4, primary_ip=None),
    ]
    one, two = load(NETBOX.format(url=netbox.url))
    assert (one.name, one.address, one.platform, one.group, one.port) == ("sw1", "192.0.2.1", "cisco_ios", "emea", 2222)
    assert (one.credentials, one.tags, one.enabled) == (("core",), ("core-net", "ber1", "access-switch"), True)
    assert (two.address, two.platform, two.group, two.port) == ("2001:db8::2", "juniper_junos", "default", 22)
    assert two.tags == ("ber1", "access-switch")


def test_every_page_is_read_and_a_link_to_another_host_is_not_followed(load: Load, netbox: WebServer) -> None:
    """Behind a proxy, NetBox may not know its own name; and the token is for the host that was set."""
    netbox.devices = [device(n) for n in range(1, 621)]
    with web_server() as stranger:
        netbox.public = stranger.url
        assert names(load(NETBOX.format(url=netbox.url + "/api/"))) == [f"sw{n}" for n in range(1, 621)]
        assert len(netbox.asked) == 3
        assert stranger.asked == []


def test_mappings_fields_and_filters_are_those_of_the_source(load: Load, netbox: WebServer) -> None:
    netbox.devices += [device(20, platform={"slug": "esxi"}), device(21, status={"value": "staged"})]
    text = NETBOX + (
        'platforms = {{ "cisco*" = "arista_eos", esxi = "-" }}\ngroups = {{ "ber*" = "emea" }}\n'
        'fields = {{ group = "site.slug", id = "id", tags = "status.value" }}\n'
        'filter = {{ status = ["active", "staged"] }}\n'
        'defaults = {{ credential = "netbox", tags = ["cmdb"] }}\n'
    )
    found = load(text.format(url=netbox.url))
    assert len(found) == 13
    sw1 = found.get("sw1")
    assert (sw1.platform, sw1.group, sw1.device_id, sw1.credentials) == ("arista_eos", "emea", "1", ("netbox",))
    assert sw1.tags == ("cmdb", "active")
    assert not found.get("sw21").enabled


@pytest.mark.parametrize(("token", "scheme"), [(TOKEN, "Token"), ("nbt_abc123.xyz", "Bearer")])
def test_tokens_of_either_version_are_sent_as_netbox_wants_them(
    load: Load, netbox: WebServer, tmp_path: Path, token: str, scheme: str
) -> None:
    netbox.token = token
    (tmp_path / "token").write_text(token)
    load(NETBOX.format(url=netbox.url))
    assert netbox.asked[0][1]["authorization"] == f"{scheme} {token}"


def test_a_list_that_changes_while_it_is_read_is_read_again(load: Load, netbox: WebServer) -> None:
    many = [device(n) for n in range(1, 301)]
    netbox.devices, netbox.between = many, [many[5:], many]
    assert len(load(NETBOX.format(url=netbox.url))) == 300


def forbid(server: WebServer) -> None:
    server.token = "another"


def break_down(server: WebServer) -> None:
    server.status = 500


def log_in_first(server: WebServer) -> None:
    server.body, server.media_type = b"<html>please log in</html>", "text/html"


def say_something_else(server: WebServer) -> None:
    server.body = b'{"results": "none"}'


def cut_off(server: WebServer) -> None:
    server.body = b'{"count": 12, "next": null, "results": [{"id": 1'


def forget_all(server: WebServer) -> None:
    server.devices = []


def forget_half(server: WebServer) -> None:
    server.devices = server.devices[:6]


def hang(server: WebServer) -> None:
    server.is_slow = True


def drip(server: WebServer) -> None:
    server.drips = True


def move(server: WebServer) -> None:
    server.location = "http://localhost:9/api/dcim/devices/"


FAULTS = [
    (forbid, "answers 403 Forbidden (Invalid token)", "correct its token"),
    (break_down, "answers 500 Internal Server Error (out of order)", ""),
    (log_in_first, "what it tells is not JSON", ""),
    (say_something_else, "this is no list of NetBox' API", "https://netbox.example.net"),
    (cut_off, "what it tells is not JSON", ""),
    (forget_all, "it tells of 0 devices, and told of 12", "devicevault devices accept cmdb"),
    (forget_half, "it tells of 6 devices, and told of 12", "devicevault devices accept cmdb"),
    (hang, "", ""),
    (drip, "", ""),
    (move, "sends us on to http://localhost:9", "set url"),
]


@pytest.mark.parametrize(("fault", "problem", "fix"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_a_source_that_fails_leaves_its_last_good_answer_and_says_so(
    load: Load,
    netbox: WebServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[WebServer], None],
    problem: str,
    fix: str,
) -> None:
    text = NETBOX.format(url=netbox.url) + "timeout_s = 20\n"
    good = names(load(text))
    fault(netbox)
    slow = fault in (hang, drip)
    found = load(text.replace("timeout_s = 20", "timeout_s = 0.3") if slow else text)
    assert names(found) == good
    (state,) = found.sources
    assert problem in state.trouble
    assert fix in state.fix
    assert "its last good answer, of 20" in state.trouble
    assert "is used (12 devices)" in state.trouble
    if slow:
        assert "in time" in state.trouble or "within" in state.trouble
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert told.getMessage() == f"inventory: sources.cmdb: {state.trouble}"
    assert TOKEN not in caplog.text + json.dumps([path.read_text() for path in (tmp_path / "kept").iterdir()])


def test_a_source_that_is_away_and_comes_back(load: Load, netbox: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    text = NETBOX.format(url=netbox.url)
    load(text)
    away = text.replace(netbox.url, f"http://127.0.0.1:{free_port()}")
    assert len(load(away)) == 12
    # Told once, not at every command.
    load(away)
    assert len([one for one in caplog.messages if "can't be asked" in one]) == 1
    netbox.devices.append(device(13))
    assert len(load(text)) == 13
    assert "inventory: sources.cmdb answers again, with 13 devices" in caplog.messages


def test_a_source_that_never_answered_is_a_service_that_is_away(load: Load) -> None:
    with pytest.raises(InventoryUnavailable, match=r"sources\.cmdb: .*; nothing is kept from earlier") as caught:
        load(NETBOX.format(url=f"http://127.0.0.1:{free_port()}"))
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


def test_a_smaller_answer_that_was_accepted_is_the_measure_from_then_on(load: Load, netbox: WebServer) -> None:
    text = NETBOX.format(url=netbox.url)
    load(text)
    netbox.devices = netbox.devices[:2]
    assert len(load(text)) == 12
    assert len(load(text, accept=("cmdb",))) == 2
    found = load(text)
    assert (len(found), found.sources[0].trouble) == (2, "")


def test_a_few_devices_may_go_and_another_question_is_measured_anew(load: Load, netbox: WebServer) -> None:
    text = NETBOX.format(url=netbox.url)
    load(text)
    netbox.devices = netbox.devices[:7]
    assert len(load(text)) == 7
    netbox.devices = netbox.devices[:1]
    assert len(load(text + 'filter = { status = "active" }\n')) == 1


def test_a_device_at_fault_stays_as_it_was_and_a_new_one_is_left_out(load: Load, netbox: WebServer) -> None:
    text = NETBOX.format(url=netbox.url)
    load(text)
    netbox.devices[0] = device(1, platform={"slug": "toaster"}, primary_ip={"address": "192.0.2.99/24"})
    netbox.devices += [device(13, platform=None), device(14, name=None), device(15), device(2, id=16)]
    for _ in range(2):
        found = load(text)
        assert names(found) == [*(f"sw{n}" for n in range(1, 13)), "sw15"]
        assert (found.get("sw1").address, found.get("sw1").platform) == ("192.0.2.1", "cisco_ios")
        assert [str(fault) for fault in found.sources[0].faults] == [
            'sources.cmdb: "record 14".name: the record names no device; name it there',
            "sources.cmdb: sw2: the source names this device twice; remove or rename one there",
            "sources.cmdb: sw1.platform: unknown platform 'toaster'; see: devicevault platforms list",
            "sources.cmdb: sw13.platform: the device has no platform; name one; see: devicevault platforms list",
        ]


def test_what_was_asked_just_now_is_not_asked_again_unless_it_must_be(load: Load, netbox: WebServer) -> None:
    text = NETBOX.format(url=netbox.url).replace("cache_s = 0", "cache_s = 600")
    load(text)
    assert (len(load(text)), len(netbox.asked)) == (12, 1)
    load(text, fresh=True)
    assert len(netbox.asked) == 2
    load(text + "timeout_s = 31\n")
    assert len(netbox.asked) == 3, "another declaration is another question"
    netbox.status = 500
    assert load(text, fresh=True).sources[0].trouble
    assert load(text).sources[0].trouble, "a failure is known for a while too"
    assert len(netbox.asked) == 4


def test_several_sources_are_one_inventory_with_their_faults_in_one_pass(load: Load, netbox: WebServer) -> None:
    listed = json.dumps(
        {
            "data": {
                "devices": [{"host": "sw1", "os": "linux"}, {"host": "px1", "os": "linux", "up": 0}, {"host": "b b"}]
            }
        }
    ).encode()
    with web_server(body=listed) as other:
        found = load(
            f'[devices.own]\nplatform = "linux"\n{NETBOX.format(url=netbox.url)}[sources.other]\nkind = "http"\n'
            f'url = "{other.url}/list"\nrecords = "data.devices"\n'
            'fields = { name = "host", platform = "os", enabled = "up" }\n'
        )
    assert names(found) == ["own", *(f"sw{n}" for n in range(1, 13)), "px1"]
    assert not found.get("px1").enabled
    assert [str(fault).partition(";")[0] for state in found.sources for fault in state.faults] == [
        "sources.other: sw1: this device is already there, in sources.cmdb",
        "sources.other: \"b b\": 'b b' can't be a device's name",
        'sources.other: "b b".platform: the device has no platform',
    ]


TEXTS = [
    ("application/json", b'{"r1": {"platform": "linux", "address": "192.0.2.1", "port": "24"}}', ""),
    ("application/yaml", b"- {name: r1, platform: linux, address: 192.0.2.1/24, port: 24}\n", ""),
    ("text/csv", b"name,platform,address,port\nr1,linux,192.0.2.1,24\n", ""),
    ("application/octet-stream", b"name,platform,address,port\nr1,linux,192.0.2.1,24\n", ""),
    (
        "text/plain",
        b"# all\nr1;192.0.2.1;linux;24\n",
        'format = "csv"\ndelimiter = ";"\ncolumns = ["name", "address", "platform", "port"]',
    ),
]


@pytest.mark.parametrize(("media_type", "body", "more"), TEXTS)
def test_a_list_at_a_url_may_be_json_yaml_or_csv(load: Load, media_type: str, body: bytes, more: str) -> None:
    with web_server(body=body, media_type=media_type) as server:
        ending = ".csv" if media_type == "application/octet-stream" else ""
        (one,) = load(f'[sources.web]\nkind = "http"\nurl = "{server.url}/list{ending}"\n{more}\n')
    assert (one.name, one.address, one.platform, one.port) == ("r1", "192.0.2.1", "linux", 24)


def test_logins_and_secret_headers_are_read_by_reference(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("CMDB_KEY", "k3y")
    with web_server(body=b'[{"name": "r1", "platform": "linux"}]') as server:
        load(
            f'[sources.web]\nkind = "http"\nurl = "{server.url}"\nuser = "reader"\npassword = {{ systemd = "token" }}\n'
            'headers = { Accept = "application/json" }\nsecret_headers = { X-Auth-Token = { env = "CMDB_KEY" } }\n'
        )
        (_, headers) = server.asked[0]
    assert headers["authorization"].startswith("Basic ")
    assert headers["x-auth-token"] == "k3y"
    assert headers["accept"] == "application/json"


DECLARATIONS = [
    ('kind = "netbox"\nurl = "https://x"\ntoken = "abc"', "sources.s.token: is a secret in the inventory"),
    ('kind = "http"\nurl = "https://u:p@x"', "sources.s.url: has a user or password in it"),
    ('kind = "http"\nurl = "ftp://x"', "sources.s.url: is not a URL of HTTP"),
    ('kind = "http"\nurl = "https://x"\nheaders = { X-Api-Key = "1" }', "'X-Api-Key' looks like a secret"),
    ('kind = "sql"\nurl = "postgresql://u:p@h/d"\nquery = "select 1"', "sources.s.url: has a password in it"),
    ('kind = "netbocks"\n', "there is no kind 'netbocks'; did you mean 'netbox'?"),
    ('url = "https://x"\n', "sources.s.kind: the source has no kind"),
    ('kind = "file"\npath = "x"\nfields = { adress = "ip" }', "sources.s.fields: 'adress' is no key of a device"),
    ('kind = "file"\npath = "x"\ncolums = []', "sources.s.colums: unknown key; did you mean 'columns'?"),
    (
        'kind = "file"\npath = "x"\nplatforms = { a = "linx" }',
        "sources.s.platforms: unknown platform 'linx'; did",
    ),
    ('kind = "file"\npath = "x"\ngroups = { a = "b" }', "sources.s.groups: unknown group 'b'; declare it: [groups.b]"),
    ('kind = "file"\npath = "x"\ndefaults = { port = "x" }', "sources.s.defaults: port: must be a whole number"),
    ('kind = "command"\ncommand = []', "sources.s.command: must not be empty"),
    ('kind = "file"\npath = "x"\ntimeout_s = 0', "sources.s.timeout_s: must be more than 0"),
]


@pytest.mark.parametrize(("declaration", "problem"), DECLARATIONS)
def test_a_wrong_declaration_is_a_fault_of_the_file_with_its_line(load: Load, declaration: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(f"[sources.s]\n{declaration}\n")
    (fault,) = caught.value.faults
    assert problem in str(fault)
    assert fault.line is not None


def test_a_server_that_says_our_token_again_does_not_get_it_into_the_log(load: Load, netbox: WebServer) -> None:
    text = NETBOX.format(url=netbox.url)
    load(text)
    netbox.status, netbox.body = 400, json.dumps({"detail": f"bad header: Token {TOKEN}"}).encode()
    trouble = load(text).sources[0].trouble
    assert "answers 400 Bad Request (bad header: ********)" in trouble


def test_a_server_is_asked_only_when_its_certificate_is_right(load: Load, tmp_path: Path) -> None:
    for folder, host in (("right", "127.0.0.1"), ("wrong", "netbox.example.net")):
        (tmp_path / folder).mkdir()
        Authority().issue(tmp_path / folder, host)
    with (
        web_server(devices=[device(1)], tls=tmp_path / "right") as right,
        web_server(devices=[device(1), device(2)], tls=tmp_path / "wrong") as wrong,
    ):
        good = NETBOX.format(url=right.url) + 'ca_file = "right/authority.pem"\n'
        assert len(load(good)) == 1
        for bad, problem in (
            (NETBOX.format(url=right.url), "CERTIFICATE_VERIFY_FAILED"),
            (good.replace("right/", "wrong/"), "CERTIFICATE_VERIFY_FAILED"),
            (good.replace(right.url, wrong.url).replace("right/", "wrong/"), "IP address mismatch"),
            (good.replace("right/", "none/"), "ca_file "),
        ):
            assert problem in load(bad).sources[0].trouble
        assert wrong.asked == []
