"""What a page can say, on devices that need it said: played from recordings, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.keyboard import Keyboard
from devicevault.collector.played import PlayedLine
from devicevault.collector.session import Session
from devicevault.collector.steps import Steps
from devicevault.credentials import Credential
from devicevault.errors import (
    AuthenticationFailed,
    CommandNotListed,
    CommandRejected,
    OutputTruncated,
    PromptNotFound,
    SessionTimeout,
)
from devicevault.platforms.page import Platform
from devicevault.platforms.player import PlayedSession, Player
from devicevault.platforms.recording import Recording
from tests.collecting import a_request

LINES = "".join(f"line {number}\n" for number in range(20))
CONFIGURATION = f"version 1\n{LINES}end\n"


def page(*, session: dict[str, Any] | None = None, **fields: Any) -> Platform:
    return Platform.model_validate(
        {
            "name": "example",
            "title": "Example",
            "session": {"prompt": r"r1[#>] ?", **(session or {})},
            "artifacts": [{"commands": ["show config"]}],
            "complete": {"ends_with": r"^end\Z"},
            "errors": ["^% Unknown"],
            **fields,
        }
    )


def recording(**fields: Any) -> Recording:
    return Recording.model_validate(
        {"prompt": "r1#", "unknown": "% Unknown\n", "answers": {"show config": CONFIGURATION}, **fields}
    )


def session_on(platform: Platform, device: Recording, **secrets: str) -> tuple[Session, Player]:
    player = Player(device, platform, password="correct horse", enable="open sesame")
    credential = Credential("lab", username="backup", **{"password": "correct horse", **secrets})
    line = PlayedLine(PlayedSession(player, "backup"))
    return Session(line, platform, credential, Steps(a_request()), 10_000_000), player


def read(platform: Platform, device: Recording, **secrets: str) -> str:
    opened, _ = session_on(platform, device, **secrets)
    with opened as session:
        return session.read(platform.artifacts[0]).original.decode()


PAGERS = {
    "blanks": {"asks": "--More--", "wipes": "\r        \r"},
    "backspaces": {"asks": " --More-- ", "wipes": "\b" * 10 + " " * 10 + "\b" * 10},
    "erased": {"asks": "--More--", "wipes": "\r\x1b[K"},
    "left standing": {"asks": "Press any key (Q to quit)", "wipes": ""},
    "left on a line": {"asks": "Press any key (Q to quit)", "wipes": "\n"},
    "colours": {"asks": "\x1b[7m--More--\x1b[m", "wipes": "\r\x1b[K"},
}


@pytest.mark.parametrize("pager", PAGERS.values(), ids=PAGERS)
def test_a_pager_leaves_nothing_behind_and_takes_nothing_away(pager: dict[str, str]) -> None:
    platform = page(session={"pager_prompt": r"^ ?(?:--More--|Press any key \(Q to quit\)) ?\Z"})
    # Whether a question left standing or a blank line ends there, nobody could tell.
    blank = "\n" if pager["wipes"].startswith(("\r", "\b")) else ""
    configuration = f"version 1\n{blank}{LINES}{blank}!\n{blank}{blank}{LINES}end\n"
    for lines in range(2, 12):
        device = recording(pager={**pager, "lines": lines}, answers={"show config": configuration})
        assert read(platform, device) == configuration


@pytest.mark.parametrize("pager", PAGERS.values(), ids=PAGERS)
def test_a_pagers_questions_are_not_counted_as_lines(pager: dict[str, str]) -> None:
    """Or else as many lines might be missing."""
    platform = page(
        session={"pager_prompt": r"^ ?(?:--More--|Press any key \(Q to quit\)) ?\Z"},
        complete={"begins_with": "version", "read_twice": True, "count_with": "{command} | count"},
    )
    lines = CONFIGURATION.count("\n")
    answers = {"show config": CONFIGURATION, "show config | count": f"{lines}\n"}
    opened, _ = session_on(platform, recording(pager={**pager, "lines": 5}, answers=answers))
    with opened as session:
        reading = session.read(platform.artifacts[0])
    assert (reading.lines, reading.completeness) == (lines, f"{lines} lines, as the device counts")
    answers["show config"] = CONFIGURATION.replace("line 19\n", "")
    opened, _ = session_on(platform, recording(pager={**pager, "lines": 5}, answers=answers))
    with opened as session, pytest.raises(OutputTruncated, match=f"counts {lines} lines and sent {lines - 1}"):
        session.read(platform.artifacts[0])


def test_a_question_in_the_middle_of_an_answer_is_answered_and_leaves_nothing() -> None:
    platform = page(
        session={
            "pager_prompt": r"^--More--\Z",
            "questions": [{"asks": r"Continue\? \[y/n\] ?\Z", "answer": "y", "when": "reading"}],
        }
    )
    assert read(platform, recording(pager={"asks": "Continue? [y/n] ", "key": "y", "wipes": "\n"})) == CONFIGURATION


def test_a_line_above_the_prompt_is_no_part_of_an_answer() -> None:
    platform = page(session={"above_prompt": r"\[[^\]]*\]"})
    configuration = CONFIGURATION.replace("line 7", "[/]")
    assert read(platform, recording(prompt="\n[/]\nr1# ", answers={"show config": configuration})) == configuration


def test_a_device_that_shows_nothing_before_a_key_is_woken() -> None:
    assert read(page(session={"wake": "\r"}), recording(silent_until="\r")) == CONFIGURATION


def test_a_device_may_want_another_enter() -> None:
    assert read(page(session={"enter": "\r"}), recording(enter="\r")) == CONFIGURATION
    with pytest.raises(SessionTimeout):
        read(page(), recording(enter="\r"))


def test_menus_and_a_second_login_behind_ssh_are_answered() -> None:
    platform = page(
        session={
            "questions": [
                {"asks": r"^User: ?\Z", "answer": "{username}"},
                {"asks": r"^Password: ?\Z", "answer": "{password}"},
                {"asks": r"^Selection> ?\Z", "answer": "2\r"},
            ]
        }
    )
    login = [
        {"shows": "User: ", "expects": "{username}"},
        {"shows": "Password:", "expects": "{password}"},
        {"shows": "1) Menu\n2) Command line\nSelection> ", "expects": "2\r"},
    ]
    assert read(platform, recording(login=login)) == CONFIGURATION


def test_a_password_asked_for_behind_ssh_is_typed_once() -> None:
    """More often would lock the account."""
    platform = page(session={"questions": [{"asks": r"^Password: ?\Z", "answer": "{password}"}]})
    again = [{"shows": "Password:", "expects": "{password}"}, {"shows": "\nPassword:", "expects": "{password}"}]
    with pytest.raises(AuthenticationFailed, match="refused the password of credential 'lab' behind SSH"):
        read(platform, recording(login=again))


def test_a_shell_in_front_of_the_command_line_is_left() -> None:
    platform = page(session={"prompt": r"(?:r1#|root@r1:~\$) ?", "unprivileged": r"\$ ?\Z", "enable": "cli"})
    device = recording(unprivileged_prompt="root@r1:~$ ")
    assert read(platform, device) == CONFIGURATION
    assert session_on(platform, device)[1].typed == []


def test_a_prompt_the_page_does_not_know_is_told() -> None:
    with pytest.raises(PromptNotFound, match="'switch7%'"):
        read(page(), recording(prompt="switch7%"))


def test_an_artifact_is_judged_by_its_own_rule_where_it_has_one() -> None:
    platform = page(
        artifacts=[
            {"commands": ["show config"]},
            {"name": "startup", "commands": ["show startup"], "complete": {"ends_with": r"^return\Z"}},
        ]
    )
    opened, _ = session_on(platform, recording(answers={"show config": CONFIGURATION, "show startup": "x\nreturn\n"}))
    with opened as session:
        assert [session.read(source).completeness for source in platform.artifacts] == [
            "ends with 'end'",
            "ends with 'return'",
        ]
    opened, _ = session_on(platform, recording(answers={"show config": CONFIGURATION, "show startup": "x\nend\n"}))
    with opened as session, pytest.raises(OutputTruncated):
        session.read(platform.artifacts[1])


def test_nothing_is_typed_that_the_page_does_not_list() -> None:
    """Whoever asks: the keyboard itself refuses, and not a key reaches the device."""
    platform = page()
    opened, player = session_on(platform, recording())
    with opened as session:
        for command in ("reload", "show version", "show config | save x", "show config\nreload", "enable "):
            with pytest.raises(CommandNotListed, match="is not listed in the page of Example, and was not typed"):
                session.ask(command)
        session.read(platform.artifacts[0])
    assert player.typed == ["show config", "exit"]


def test_a_command_with_a_line_end_in_it_is_in_no_page() -> None:
    line = PlayedLine(PlayedSession(Player(recording(), page())))
    keyboard = Keyboard(line, page(), Credential("lab", "backup"), Steps(a_request()))
    with pytest.raises(CommandNotListed):
        keyboard.type("show config\rreload")


def test_the_first_command_the_device_knows_is_the_one() -> None:
    platform = page(artifacts=[{"commands": ["show all", "show config"]}])
    assert read(platform, recording()) == CONFIGURATION
    with pytest.raises(CommandRejected):
        read(page(artifacts=[{"commands": ["show all", "show nothing"]}]), recording())


def test_a_recording_tells_its_faults(tmp_path: Path) -> None:
    from devicevault.errors import ConfigurationError

    file = tmp_path / "x.toml"
    file.write_text('prompt = "r1#"\nprompts = 1\n[answers]\n"show config" = "{{same as show x}}"\n')
    with pytest.raises(ConfigurationError) as raised:
        Recording.load(file)
    assert [str(fault).removeprefix(str(tmp_path)) for fault in raised.value.faults] == [
        "/x.toml:2: prompts: Extra inputs are not permitted"
    ]
    file.write_text('prompt = "r1#"\n[answers]\n"show config" = "{{same as show x}}"\n')
    with pytest.raises(ConfigurationError, match="there is no answer to that command"):
        Recording.load(file)


def test_a_recording_varies_from_one_reading_to_the_next() -> None:
    device = recording(
        answers={
            "show config": "version 1\nat {{10:00||11:00}} by {{ann||ben}}\nend\n",
            "count": "{{count}} lines, or {{count +1}}",
            "again": "{{same as show config}}mark\n",
        }
    )
    assert device.answer("show config", 1) == "version 1\nat 10:00 by ann\nend\n"
    assert device.answer("show config", 2) == "version 1\nat 11:00 by ben\nend\n"
    assert device.answer("again", 3) == "version 1\nat 10:00 by ann\nend\nmark\n"
    assert device.answer("count", 1, page()) == "3 lines, or 4"
    assert device.answer("show nothing") is None
