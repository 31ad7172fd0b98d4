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
READS = re.compile(
    r"(?:show|sh|display|get|list|more|cat|info|print|dump|view|export|echo|/?export|/\S+(?: \S+)* (?:print|export)"
    r"|\S*show\S*|uname|uptime|version|about|sysdescr|hostname|ls|readscript|sysinfo|(?:configuration|chassis|software) show|(?:birdc|tmsh -q|nv) show|opnsense-version)\b.*"
)
#: Steps of the session itself: its screen, its way in and out.
SESSION = re.compile(
    r"enable(?: \d+| admin)?|exit|quit|/quit|logout|logoff|bye|end|lo|x|cli|sonic-cli|clish|tmsh|vtysh|imish|"
    r"term(?:inal)? (?:len(?:gth)?|width|pager|more|datadump|page|rows?|cols?)(?: \S+)?|"
    r"screen-(?:length|width) .*|screen-length disable|skip-page-display|page-off|paging off|pagination off|"
    r"environment (?:no more|more false)|stty .*|length 0|pager (?:off|0)|cli (?:pagination|pager) off|paginate false|terminal screen-length 0|terminal page-break disable|system shell session set more off"
)


@pytest.mark.parametrize("name", [name for name in PAGES.names() if name != "noop"])
def test_a_page_only_reads(name: str) -> None:
    page = PAGES.get(name)
    for command in page.commands():
        harmless(command)
        begins = IN_FRONT.sub("", command)
        known = READS.fullmatch(begins) or SESSION.fullmatch(command) or is_session_only(command)
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
    with pytest.raises(ValueError, match="may change the device|is one line"):
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
