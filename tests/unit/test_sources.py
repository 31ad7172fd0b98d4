"""Sources that need no server: Ansible's inventories, programs, files, and what is kept of them on disk."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devicevault.errors import InventoryUnavailable
from devicevault.inventory import Inventory, foreign, load_inventory
from devicevault.inventory.sources import kept
from devicevault.inventory.sources.ansible_groups import Groups, expanded
from devicevault.inventory.sources.ansible_ini import read_ini
from devicevault.inventory.sources.ansible_yaml import read_yaml
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.mapping import PLAIN
from devicevault.inventory.sources.text import Layout
from devicevault.platforms import Platforms
from devicevault.settings import Settings

PLATFORMS = ("arista_eos", "cisco_ios", "juniper_junos", "linux")

Load = Callable[[str], Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    path = tmp_path / "devices.toml"

    def load(text: str) -> Inventory:
        path.write_text(text)
        layout = {"path": path, "kept_dir": tmp_path / "kept"}
        return load_inventory(Settings.model_validate({"inventory": layout}), PLATFORMS)

    return load


ANSIBLE_INI = """
# a comment
lonely.example.net ansible_network_os=junos

[access]
sw[01:03:2].example.net  # the odd ones
; another comment
sw-[a:b] ansible_host=192.0.2.7 ansible_port=2201
core1:2202 ansible_host="192.0.2.9"   # a port behind the name

[access:vars]
ansible_network_os = cisco.ios.ios
ansible_password = hunter2

[switches:children]
access

[switches:vars]
ansible_network_os = arista.eos.eos
ansible_port = 24

[servers]
web1 ansible_connection=ssh
"""

ANSIBLE_YAML = """
all:
  vars:
    domain: example.net
  hosts:
    lonely.example.net:
      ansible_network_os: junos
  children:
    switches:
      vars: {ansible_network_os: arista.eos.eos, ansible_port: 24}
      children:
        access:
          vars:
            ansible_network_os: cisco.ios.ios
            ansible_password: !vault |
              $ANSIBLE_VAULT;1.1;AES256
              6162
          hosts:
            sw[01:03:2].example.net:
            sw-[a:b]: {ansible_host: 192.0.2.7, ansible_port: 2201}
            core1: {ansible_host: 192.0.2.9, ansible_port: 2202}
    servers:
      hosts:
        web1:
"""

HOSTS = [
    ("lonely.example.net", "lonely.example.net", 22, "juniper_junos", ()),
    ("sw01.example.net", "sw01.example.net", 24, "cisco_ios", ("switches", "access")),
    ("sw03.example.net", "sw03.example.net", 24, "cisco_ios", ("switches", "access")),
    ("sw-a", "192.0.2.7", 2201, "cisco_ios", ("switches", "access")),
    ("sw-b", "192.0.2.7", 2201, "cisco_ios", ("switches", "access")),
    ("core1", "192.0.2.9", 2202, "cisco_ios", ("switches", "access")),
]


@pytest.mark.parametrize(
    ("name", "text"),
    [("hosts.ini", ANSIBLE_INI), ("hosts", ANSIBLE_INI), ("hosts.yml", ANSIBLE_YAML), ("hosts", ANSIBLE_YAML)],
)
def test_an_ansible_inventory_in_ini_or_yaml(load: Load, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = load(f'[sources.ans]\nkind = "ansible"\npath = "{name}"\n')
    assert [(d.name, d.address, d.port, d.platform, d.tags) for d in found] == HOSTS
    (fault,) = found.sources[0].faults
    assert str(fault).startswith("sources.ans: web1.platform: the device has no platform")
    assert "hunter2" not in (tmp_path / "kept" / "ans.json").read_text()


def test_variables_beside_an_ansible_inventory_count_as_ansible_counts_them(load: Load, tmp_path: Path) -> None:
    for file, text in {
        "inv/hosts.ini": "[b]\nr1\nr2\n[a]\nr1\n[a:vars]\nsite=inline\n[net:children]\na\nb\n",
        "inv/more.yml": "net:\n  hosts:\n    r3:\n",
        "inv/group_vars/all.yml": "ansible_network_os: cisco.ios.ios\nsite: all\nsuffix: example.net\n",
        "inv/group_vars/b/first.yml": 'ansible_host: "{{ inventory_hostname }}.{{ suffix }}"\n',
        "inv/group_vars/b/second.yml": "devicevault_group: emea\n",
        "inv/group_vars/b/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
        "inv/host_vars/r2.yml": "ansible_port: 2222\ndevicevault_credential: core\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    found = load('[groups.emea]\n[sources.ans]\nkind = "ansible"\npath = "inv"\nlimit = ["b", "r3"]\n')
    assert [(d.name, d.address, d.port, d.group, d.credentials, d.tags) for d in found] == [
        ("r1", "r1.example.net", 22, "emea", ("default",), ("net", "a", "b")),
        ("r2", "r2.example.net", 2222, "emea", ("core",), ("net", "b")),
        ("r3", "r3", 22, "default", ("default",), ("net",)),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("www[01:03]", ["www01", "www02", "www03"]),
        ("[1:10:4]x", ["1x", "5x", "9x"]),
        ("r[a:b]-[8:10]", ["ra-8", "ra-9", "ra-10", "rb-8", "rb-9", "rb-10"]),
        ("plain", ["plain"]),
    ],
)
def test_a_range_stands_for_many_hosts(pattern: str, names: list[str]) -> None:
    assert list(expanded(pattern)) == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a:child]\n", r"line 1: a section is \[GROUP\]"),
        ("[a]\nh1 oops\n", "line 2: behind a host stand variables"),
        ("[a]\nh[1:a]\n", r"line 2: \[1:a\] is no range"),
        ('[a]\nh1 x="open\n', "line 2: can't be read"),
        ("[a:vars]\noops\n", "line 2: a variable is written"),
    ],
)
def test_a_fault_of_an_ansible_inventory_is_told_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(SourceFailed, match=problem):
        read_ini(text, Groups())


def test_groups_that_are_children_of_themselves_are_a_fault() -> None:
    groups = Groups()
    read_ini("[a]\nh\n[a:children]\nb\n[b:children]\na\n", groups)
    with pytest.raises(SourceFailed, match="is a child of itself"):
        groups.of_host("h")


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[a]", "[a:vars]", "[b:children]", "h[1:3]", "x=1", "h x='", "a:", "  b: {c: [", "\t", "- é", "#"]
        )
    )
)
def test_no_text_ends_in_anything_but_a_failure_in_words(pieces: list[str]) -> None:
    for text, read in (("\n".join(pieces), read_ini), (" ".join(pieces), read_ini), ("\n".join(pieces), read_yaml)):
        try:
            read(text, Groups())
        except SourceFailed:
            continue


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode), st.sampled_from(["json", "yaml", "csv", "auto"]))
def test_no_answer_ends_in_anything_but_records_or_a_failure(raw: bytes, kind: str) -> None:
    try:
        records = Layout.model_validate({"format": kind}).parse(raw)
    except SourceFailed:
        return
    assert all(isinstance(record, dict) for record in records)


COMMANDS = [
    ('["cat", "list.json"]', ""),
    ('["sh", "-c", "cat list.json; exit 3"]', "the command sh ended with code 3"),
    ('["sh", "-c", "sleep 600 & sleep 600"]', "the command sh took longer than 0.5 s"),
    ('["no-such-program"]', "the command no-such-program can't be started: No such file or directory"),
    ('["echo", "oops: ["]', "what it tells is not YAML"),
]


@pytest.mark.parametrize(("command", "problem"), COMMANDS)
def test_a_program_is_run_without_a_shell_and_not_for_ever(
    load: Load, tmp_path: Path, command: str, problem: str
) -> None:
    (tmp_path / "list.json").write_text('[{"name": "a", "platform": "linux"}]')
    good = '[sources.cmd]\nkind = "command"\ncommand = ["cat", "list.json"]\ntimeout_s = 20\ncache_s = 0\n'
    assert [device.name for device in load(good)] == ["a"]
    limit = "0.5" if "sleep" in command else "20"
    found = load(good.replace('["cat", "list.json"]', command).replace("timeout_s = 20", f"timeout_s = {limit}"))
    assert [device.name for device in found] == ["a"]
    assert problem in found.sources[0].trouble
    assert bool(found.sources[0].trouble) == bool(problem)


FILE = '[sources.list]\nkind = "file"\npath = "list.yml"\ncache_s = 0\n'


def test_what_is_kept_is_private_and_whole(load: Load, tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("- {name: a, platform: linux}\n")
    load(FILE)
    folder = tmp_path / "kept"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
    assert [path.name for path in folder.iterdir()] == ["list.json"]
    assert stat.S_IMODE((folder / "list.json").stat().st_mode) == 0o640


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v": 2}', '{"v": 1, "devices": 3}', "[" * 10_000])
def test_a_kept_answer_that_is_damaged_counts_as_none(load: Load, tmp_path: Path, text: str) -> None:
    (tmp_path / "list.yml").write_text("- {name: a, platform: linux}\n")
    load(FILE)
    (tmp_path / "kept" / "list.json").write_text(text)
    assert not kept.load(tmp_path / "kept", "list").is_answer
    assert [device.name for device in load(FILE)] == ["a"]


def test_where_nothing_can_be_kept_the_answer_is_used_all_the_same(load: Load, tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("- {name: a, platform: linux}\n")
    (tmp_path / "kept").write_text("a file where the folder should be")
    found = load(FILE)
    assert [device.name for device in found] == ["a"]
    assert found.sources[0].unkept == f"{tmp_path}/kept: File exists"


def test_a_kept_answer_of_the_future_is_not_taken_for_a_new_one(load: Load, tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("- {name: a, platform: linux}\n")
    text = FILE.replace("cache_s = 0", "cache_s = 600")
    load(text)
    path = tmp_path / "kept" / "list.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "answered_at": time.time() + 3600}))
    (tmp_path / "list.yml").write_text("- {name: b, platform: linux}\n")
    assert [device.name for device in load(text)] == ["b"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("cisco_ios", "cisco_ios"),
        ("ios", "cisco_ios"),
        ("IOS", "cisco_ios"),
        ("cisco-ios", "cisco_ios"),
        ("Cisco IOS-XE", "cisco_ios"),
        ("cisco.ios.ios", "cisco_ios"),
        ("junipernetworks.junos.junos", "juniper_junos"),
        ("juniper-srx", "juniper_junos"),
        ("toaster", "toaster"),
    ],
)
def test_platforms_are_known_by_what_others_call_them(theirs: str, ours: str) -> None:
    assert foreign.platform(theirs, PLATFORMS) == ours


def test_whatever_others_call_a_platform_is_called_by_a_pages_name() -> None:
    pages = Platforms.load().names()
    assert [theirs for theirs, ours in foreign.PLATFORMS.items() if ours not in pages] == []


def test_oxidized_and_rancid_do_not_call_two_platforms_by_one_name() -> None:
    assert [
        name
        for name in foreign.OXIDIZED.keys() & foreign.RANCID.keys()
        if foreign.OXIDIZED[name] != foreign.RANCID[name]
    ] == []


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["a", "linux", "22", "x y", "192.0.2.1/24", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["slug", "value", "b"]), inner, max_size=2)
    ),
    max_leaves=4,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(list(PLAIN)), VALUES, max_size=6), max_size=4)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS)
def test_whatever_a_source_says_is_a_device_or_a_fault(
    load: Load, tmp_path: Path, records: list[dict[str, object]]
) -> None:
    (tmp_path / "list.yml").write_text(json.dumps(records))
    (tmp_path / "kept" / "list.json").unlink(missing_ok=True)
    try:
        found = load(FILE + 'format = "json"\nfields = { tags = ["tags", "tags.slug"] }\nmax_shrink = 1\n')
    except InventoryUnavailable:
        return
    assert len(found) <= len(records) <= len(found) + len(found.sources[0].faults)


def test_a_kept_answer_this_user_may_not_read_is_told_as_such(load: Load, tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("- {name: a, platform: linux}\n")
    load(FILE)
    (tmp_path / "list.yml").unlink()
    kept_file = tmp_path / "kept" / "list.json"
    kept_file.unlink()
    kept_file.mkdir()  # root, whom tests may run as, reads whatever is a file
    with pytest.raises(InventoryUnavailable, match=r"what is kept can't be read: .*/kept: Is a directory"):
        load(FILE)
