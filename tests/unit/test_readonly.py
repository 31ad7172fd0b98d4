"""No page of the package holds a command that could change a device: checked here against what reading looks like."""

from __future__ import annotations

import re

import pytest

from devicevault.platforms import Platforms
from devicevault.platforms.readonly import harmless, harmless_keys

PAGES = Platforms.load()

#: What stands in front of the command that shows something.
IN_FRONT = re.compile(r"^(?:sudo -n |admin )?(?:(?:vtysh|tmsh) -c ['\"]|sh -c 'cd /etc; for f in [^;]*; do .*?; )?")

#: How a command begins that shows something. A page with another beginning is looked at by a person, and added.
READS = (
    r"show",
    r"sh",
    r"\S*show\S*",
    r"display",
    r"get",
    r"list",
    r"more",
    r"cat",
    r"info",
    r"print",
    r"dump",
    r"view",
    r"/?export",
    r"display-config",
    r"/\S+(?: \S+)* (?:print|export)",
    r"echo",
    r"uname",
    r"uptime",
    r"version",
    r"about",
    r"sysdescr",
    r"hostname",
    r"ls",
    r"readscript",
    r"sysinfo",
    r"opnsense-version",
    r"mca-cli-op info",
    r"get(?:model|version|_release_info)",
    r"save_configuration -p",
    r"(?:configuration|chassis|software) show",
    r"info configure",
    r"backup print",
    r"cpconf term",
    r"/cfg/dump",
    r"/info/sys/general",
    r"(?:birdc|tmsh -q|nv) show",
    r"nv config show",
)
#: Steps of the session itself: its screen, its way in and out. Whole commands.
SESSION = (
    r"administrator",
    r"scroll",
    r"enable(?: \d+| admin)?",
    r"exit",
    r"quit",
    r"/quit",
    # Ctrl+P in front leads back from a process of the console.
    r"\x10?logout",
    r"logoff",
    r"bye",
    r"end",
    r"lo",
    r"x",
    r"cli",
    r"sonic-cli",
    r"clish",
    # Teldat's only way to its configuration: a copy that nothing runs with.
    r"process 4",
    r"tmsh",
    r"vtysh",
    r"imish",
    r"term(?:inal)? (?:len(?:gth)?|width|pager|more|datadump|page|rows?|cols?)(?: \S+)?",
    r"terminal screen-length 0",
    r"terminal page-break disable",
    r"screen-(?:length|width) .*",
    r"screen-length disable",
    r"skip-page-display",
    r"page-off",
    r"paging off",
    r"pagination off",
    r"paginate false",
    r"length 0",
    r"pager (?:off|0)",
    r"cli (?:pagination|pager) off",
    r"environment (?:no more|more false|print no-more|inhibit-alarms mode batch)",
    r"cmdline",
    r"connect fxos",
    r"lines 0",
    r"stty .*",
    r"system shell session set more off",
)


def begins(command: str, beginnings: tuple[str, ...]) -> bool:
    """Whether the command begins with one of these words."""
    return any(re.match(rf"(?:{words})(?![\w-])", command) for words in beginnings)


@pytest.mark.parametrize("name", [name for name in PAGES.names() if name != "noop"])
def test_a_page_only_reads(name: str) -> None:
    page = PAGES.get(name)
    for command in page.commands():
        harmless(command)
        is_session = any(re.fullmatch(form, command) for form in SESSION) or is_session_only(command)
        known = is_session or begins(IN_FRONT.sub("", command), READS)
        assert known, f"{command!r}: does this only read?"


def is_session_only(command: str) -> bool:
    """Whether the guard lets this exact form through, and nothing longer."""
    return all(refused(command + rest) for rest in (" default", "; set x", " save"))


def refused(command: str) -> bool:
    try:
        harmless(command)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("keys", ["\r", " ", "q", "n\r", "no\r", "2\r", "\x03", "{username}", "{password}", "cli\r"])
def test_keys_answer_questions(keys: str) -> None:
    assert harmless_keys(keys) == keys


@pytest.mark.parametrize("keys", ["reload\r", "\rwrite memory\r", "y\rreload\r", "configure"])
def test_no_answer_is_a_command_that_changes(keys: str) -> None:
    with pytest.raises(ValueError, match=r"may change the device|is one line"):
        harmless_keys(keys)


@pytest.mark.parametrize(
    "command",
    [
        "set cli screen-length 0", "set cli pager off", "set cli config-output-format set", "set clienv rows 0",
        "set length 0", "no page", "no paging", "disable clipaging session", "terminal length 0", "show running-config",
        "show configuration | display omit | no-more", "show run | include . | count", "enable", "enable 15",
        "display current-configuration", "/export show-sensitive", "sudo -n cat /conf/config.xml", "show | grep .",
        "configshow -all", "vtysh -c 'show running-config'", "show system setting", "show copy-service",
    ],
)  # fmt: skip
def test_what_reads_or_is_about_the_session_is_let_through(command: str) -> None:
    assert harmless(command) == command


@pytest.mark.parametrize(
    "command",
    [
        "set cli", "set cli pager on x", "set clienv rows 0 ; save clienv", "save clienv", "set length 0 default",
        "no router bgp 1", "no page; reload", "disable clipaging", "config paging disable", "config system console",
        "modify cli preference pager disabled", "tmsh modify x", "set output standard", "enable telnet", "edit x",
        "show run | redirect flash:x", "show run > flash:x", "show run | tee x", "sudo -n rm x", "sh -c 'reboot'",
        "show x\nreload", "show x\rreload", "Reload", "CONFIGURE", "  write", "show x; { reload; }", "`reboot`",
        "$(reboot)", "then reboot", "execute backup config tftp x", "request system reboot", "uci set x=y",
    ],
)  # fmt: skip
def test_what_changes_or_might_is_refused(command: str) -> None:
    assert refused(command)


def test_nothing_of_netmikos_types_anything() -> None:
    """Its FortiOS and ASA drivers would change the device; whatever a driver wants to type goes nowhere."""
    from netmiko.ssh_dispatcher import CLASS_MAPPER_BASE

    from devicevault.collector.connection import DeviceConnection, driver_class

    ours = ("write_channel", "session_preparation", "special_login_handler", "cleanup", "_get_ssh_client_instance")
    for name in CLASS_MAPPER_BASE:
        made = driver_class(name)
        assert [method for method in ours if getattr(made, method) is not getattr(DeviceConnection, method)] == []
