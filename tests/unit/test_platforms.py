"""Platform pages: found, read, and refused with every fault at its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from devicevault.cli import main
from devicevault.errors import ConfigurationError, ExitCode, PlatformUnknown
from devicevault.platforms import Platforms
from devicevault.platforms.describe import markdown_table
from devicevault.platforms.page import (
    ArtifactSource,
    AuthorSource,
    Completeness,
    FactSource,
    Platform,
    Question,
    SecretRule,
    Section,
    Session,
)

PAGES = Platforms.load()
PAGE = """\
title = "Example"
[session]
driver = "cisco_ios"
prompt = '\\S+# ?'
[[artifacts]]
commands = ["show running-config"]
[complete]
ends_with = '^end\\Z'
"""


def faults(folder: Path, text: str, name: str = "example.toml") -> list[str]:
    (folder / name).write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        Platforms.load(folder)
    return [str(fault).removeprefix(f"{folder}/") for fault in raised.value.faults]


def test_the_first_twelve_platforms_and_noop_are_there() -> None:
    assert {
        "arista_eos", "aruba_aoscx", "cisco_asa", "cisco_ios", "cisco_nxos", "fortinet_fortios", "frr", "hp_comware",
        "juniper_junos", "linux", "mikrotik_routeros", "noop", "vyos",
    } <= set(PAGES.names())  # fmt: skip


def test_every_page_says_where_its_facts_come_from_and_has_a_title_of_its_own() -> None:
    assert [page.name for page in PAGES if page.kind == "cli" and not (page.sources and page.vendor)] == []
    titles = [page.title for page in PAGES]
    assert [title for title in titles if titles.count(title) > 1] == []


def test_there_are_more_than_a_hundred_platforms() -> None:
    assert sum(page.kind == "cli" for page in PAGES) > 100


def test_every_driver_is_one_netmiko_has() -> None:
    from netmiko.ssh_dispatcher import CLASS_MAPPER

    assert [page.session.driver for page in PAGES if page.session.driver not in CLASS_MAPPER] == []


def test_a_page_of_ones_own_is_added_or_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(PAGE)
    (tmp_path / "cisco_ios.toml").write_text(PAGE)
    (tmp_path / ".hidden.toml").write_text("not TOML")
    pages = Platforms.load(tmp_path)
    assert pages.get("example").title == "Example"
    assert pages.get("cisco_ios").title == "Example"
    assert len(pages.names()) == len(PAGES.names()) + 1


def test_a_folder_of_ones_own_need_not_exist(tmp_path: Path) -> None:
    assert Platforms.load(tmp_path / "missing").names() == PAGES.names()


def test_an_unknown_platform_names_the_nearest() -> None:
    with pytest.raises(PlatformUnknown, match="did you mean 'cisco_ios'"):
        PAGES.get("cisco_iso")


def test_every_fault_of_every_page_is_told_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(PAGE.replace("prompt = '\\S+# ?'\n", ""))
    told = faults(tmp_path, PAGE.replace("title", "titel").replace("\\S+#", "(") + "endswith = 'x'\n")
    assert told == [
        "example.toml: title: is missing",
        "example.toml:4: session.prompt: not a regular expression: missing ), unterminated subpattern at position 0",
        "example.toml:9: complete.endswith: there is no such key; did you mean 'ends_with'?",
        "example.toml:1: titel: there is no such key; did you mean 'title'?",
        "other.toml:2: session.prompt: is missing",
    ]


@pytest.mark.parametrize(
    "command",
    ["configure terminal", "config paging disable", "no router bgp 1", "set cli pager off; set x",
     "set length 0 default",
     "modify cli preference pager disabled", "undo info-center", "enable telnet", "unset x", "disable clipaging x",
     "sudo -n rm x", "sudo tee x", "do write", "show run | redirect flash:x", "show run | tee x", "request system x",
     "conf t", "system-view", "write memory", "copy run start", "set output standard", "reload",
     "show run | save file", "show run; write", "/system reset; /import x", "show run > flash:x", "sh -c 'rm x'",
     "execute reboot", "/ip address add x=1", "show run\\nwrite"],
)  # fmt: skip
def test_a_page_that_would_change_a_device_is_refused(command: str, tmp_path: Path) -> None:
    [told] = faults(tmp_path, PAGE.replace("show running-config", command))
    assert re.search("may change the device|may write a file|is one line", told)


def test_a_page_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    [told] = faults(tmp_path, PAGE.replace("ends_with = '^end\\Z'", "must_have = ['^version']"))
    assert told.startswith("example.toml:7: complete: nothing here proves a configuration whole")


@pytest.mark.parametrize("name", ["Example.toml", "ex-ample.toml", "1.toml"])
def test_a_page_of_an_impossible_name_is_refused(name: str, tmp_path: Path) -> None:
    [told] = faults(tmp_path, PAGE, name)
    assert "can't be a platform's name" in told


@pytest.mark.parametrize("key", ["name", "digest"])
def test_what_the_loader_fills_in_is_not_the_pages_to_say(key: str, tmp_path: Path) -> None:
    [told] = faults(tmp_path, f'{key} = "x"\n{PAGE}')
    assert told.startswith(f"example.toml:1: {key}: ")


def test_a_digest_follows_the_rules_and_not_the_comments(tmp_path: Path) -> None:
    digests = []
    for text in (PAGE, "# a comment\n" + PAGE, 'volatile = ["x"]\n' + PAGE):
        (tmp_path / "example.toml").write_text(text)
        digests.append(Platforms.load(tmp_path).get("example").digest)
    assert digests[0] == digests[1] != digests[2]


def test_the_documentation_lists_the_pages_as_they_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text()
    _, _, rest = text.partition("<!-- platforms -->\n")
    table, _, _ = rest.partition("<!-- /platforms -->")
    assert table == markdown_table(PAGES), "run `devicevault platforms list --markdown` and paste it there"


DOCS = Path(__file__).parents[2] / "docs"


def examples() -> list[str]:
    """The TOML in the page on writing pages: one that extends, a page, a recording."""
    return [part.partition("```")[0] for part in (DOCS / "platform-pages.md").read_text().split("```toml\n")[1:]]


def test_the_examples_in_the_documentation_are_good(tmp_path: Path) -> None:
    extending, page, recording = examples()
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "cisco_ios.toml").write_text(extending)
    (pages / "example.toml").write_text(page)
    (tmp_path / "example.toml").write_text(recording)
    assert "^! Last backup by " in [rule.pattern for rule in Platforms.load(pages).get("cisco_ios").volatile]
    code, out, _ = devicevault(tmp_path, "check", str(tmp_path / "example.toml"))
    assert code == ExitCode.DONE, out
    shown = (DOCS / "platform-pages.md").read_text().partition("platforms check example.toml\n")[2].partition("```")[0]
    assert out == shown


def test_the_documentation_names_every_key_of_a_page() -> None:
    text = (DOCS / "platform-pages.md").read_text().partition("### The keys")[2].partition("\n## ")[0]
    named = set(re.findall(r"\b[a-z_]+\b", " ".join(re.findall(r"`([^`]+)`", text))))
    sections: tuple[type[Section], ...] = (
        Platform, Session, Question, ArtifactSource, FactSource, AuthorSource, Completeness, SecretRule,
    )  # fmt: skip
    keys = {key for section in sections for key in section.model_fields} | {"extends", "replace"}
    assert keys - named == {"digest"}, "the loader fills in the digest; anything else is for people"


def devicevault(folder: Path, *arguments: str) -> tuple[int, str, str]:
    config = folder / "config.toml"
    config.write_text(f'platforms_dir = "{folder}/pages"\n')
    result = CliRunner().invoke(main, ["--config", str(config), "platforms", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_list_is_for_people_and_for_programs(tmp_path: Path) -> None:
    code, out, _ = devicevault(tmp_path, "list")
    assert code == ExitCode.DONE
    assert all(name in out for name in PAGES.names())
    _, out, _ = devicevault(tmp_path, "list", "--json")
    assert [page["name"] for page in json.loads(out)] == list(PAGES.names())
    _, out, _ = devicevault(tmp_path, "list", "--markdown")
    assert out == markdown_table(PAGES)


def test_show_tells_commands_and_rules(tmp_path: Path) -> None:
    code, out, _ = devicevault(tmp_path, "show", "hp_comware")
    assert code == ExitCode.DONE
    assert "display current-configuration" in out
    assert "it ends with `return`" in out


def test_show_of_an_unknown_platform_is_a_usage_error(tmp_path: Path) -> None:
    code, _, err = devicevault(tmp_path, "show", "cisco_iso")
    assert code == ExitCode.USAGE
    assert "did you mean 'cisco_ios'" in err


def test_check_tells_whether_a_file_is_whole_and_shows_it_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "r1.txt"
    file.write_bytes(b"version 17.9\r\nhostname r1\r\nenable secret 9 cAnArY\r\nend\r\n")
    code, out, err = devicevault(tmp_path, "check", str(file), "--platform", "cisco_ios")
    assert (code, out) == (0, "version 17.9\nhostname r1\nenable secret 9 <secret hidden>\nend\n")
    assert "secrets hidden: 1" in err
    file.write_bytes(b"version 17.9\nhostname r1\nenable secret 9 cAnArY\n")
    code, out, err = devicevault(tmp_path, "check", str(file), "--platform", "cisco_ios")
    assert (code, out) == (ExitCode.DEVICES_FAILED, "")
    assert "it does not end with 'end'" in err
    assert "cAnArY" not in err


def test_check_of_a_configuration_needs_the_page_named(tmp_path: Path) -> None:
    file = tmp_path / "r1.txt"
    file.write_text("end\n")
    code, _, err = devicevault(tmp_path, "check", str(file))
    assert code == ExitCode.USAGE
    assert "r1.txt does not say which platform it is of; add --platform NAME" in err


RECORDING = """\
platform = "cisco_ios"
prompt = "r1#"
[answers]
"terminal length 0" = ""
"terminal width 0" = ""
"show running-config" = '''
Building configuration...
version 17.9
hostname r1
enable secret 9 cAnArY
end
'''
"show version" = "Cisco IOS Software, Version 17.9.4, RELEASE\\n"
[expect]
version = "17.9.4"
secrets = ["cAnArY"]
"""


def test_check_judges_a_page_by_a_recorded_session(tmp_path: Path) -> None:
    (tmp_path / "r1.toml").write_text(RECORDING)
    code, out, _ = devicevault(tmp_path, "check", str(tmp_path / "r1.toml"))
    assert code == ExitCode.DONE, out
    assert "running: whole: ends with 'end'; 4 lines" in out
    assert "    Building configuration..." in out
    assert "    enable secret 9 <secret hidden>" in out
    assert "facts: version 17.9.4" in out
    assert "cut at 20 places, it was never taken for whole" in out
    code, out, _ = devicevault(tmp_path, "check", str(tmp_path / "r1.toml"), "--json")
    judged = json.loads(out)
    assert (code, judged["whole"], judged["complaints"]) == (ExitCode.DONE, True, [])


def test_check_tells_what_a_page_does_not_bring(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "own.toml").write_text(
        """\
title = "Own"
[session]
prompt = 'r1# ?'
[[artifacts]]
commands = ["show running-config"]
[complete]
must_have = ['^version']
ends_with = '\\w\\Z'
"""
    )
    file = tmp_path / "r1.toml"
    file.write_text(RECORDING.replace("secret 9", "hash"))
    code, out, _ = devicevault(tmp_path, "check", str(file), "--platform", "own", "--json")
    complaints = json.loads(out)["complaints"]
    assert code == ExitCode.DEVICES_FAILED
    assert "the secret 'cAnArY' is shown" in complaints
    assert "the version is '17.9.4', and nothing was found" in complaints
    assert "cut at 50% of the configuration, it was taken for whole" in complaints


def test_a_broken_recording_is_told_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "r1.toml"
    file.write_text(RECORDING.replace("prompt", "promt"))
    code, _, err = devicevault(tmp_path, "check", str(file))
    assert code == ExitCode.CONFIGURATION
    assert "r1.toml:2: promt: Extra inputs are not permitted" in err
