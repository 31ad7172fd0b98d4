"""Who changed a device last is read from what it sends, before the line that tells it is taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from devicevault.collector.facts import Facts
from devicevault.messages import CollectFacts
from devicevault.platforms import Platforms

PLATFORMS = Platforms.load()


def told_by(platform: str, texts: Sequence[str], ask: Callable[[str], str]) -> CollectFacts:
    """What the page finds of the author alone."""
    facts = Facts(PLATFORMS.get(platform).model_copy(update={"facts": ()}), ask)
    for text in texts:
        facts.look_at(text)
    return facts.told()


def unasked(command: str) -> str:
    raise AssertionError(f"nobody needs {command!r}")


@pytest.mark.parametrize(
    ("platform", "text", "author", "authored_at"),
    [
        (
            "cisco_ios",
            "! Last configuration change at 12:03:07 UTC Mon May 4 by ann\n",
            "ann",
            "12:03:07 UTC Mon May 4",
        ),
        (
            "cisco_ios",
            "! Last configuration change at 12:03:07 UTC Mon May 4\n",
            "",
            "12:03:07 UTC Mon May 4",
        ),
        (
            "cisco_nxos",
            "!Running configuration last done at: Mon May  4 12:03 2026\n",
            "",
            "Mon May 4 12:03 2026",
        ),
        ("juniper_junos", "## Last commit: 2026-05-04 12:03:07 UTC by ann\n", "ann", "2026-05-04 12:03:07 UTC"),
        ("cisco_xr", "!! Last configuration change at Mon May  4 12:03 2026 by ann\n", "ann", "Mon May 4 12:03 2026"),
        ("juniper_junos", "version 21.4R3;\n", "", ""),
        ("linux", "anything\n", "", ""),
    ],
)
def test_it_stands_in_the_configuration(platform: str, text: str, author: str, authored_at: str) -> None:
    told = told_by(platform, ["first\n", "header\n" + text], unasked)
    assert (told.author, told.authored_at) == (author, authored_at)


@pytest.mark.parametrize(
    ("platform", "answer", "author", "authored_at"),
    [
        (
            "cisco_asa",
            "Serial Number: X\nConfiguration last modified by enable_15 at 12:03:07.299 UTC Mon May 4\n",
            "enable_15",
            "12:03:07.299 UTC Mon May 4",
        ),
        (
            "vyos",
            "0   2026-05-04 12:03:07 by ann via cli\n1   2026-05-03 by bob via cli\n",
            "ann",
            "2026-05-04 12:03:07",
        ),
        ("vyos", "Invalid command: show [system]\n", "", ""),
    ],
)
def test_or_in_the_answer_to_a_question(platform: str, answer: str, author: str, authored_at: str) -> None:
    told = told_by(platform, ["config\n"], lambda _: answer)
    assert (told.author, told.authored_at) == (author, authored_at)


def test_a_device_can_write_no_line_of_its_own_into_the_history() -> None:
    text = "! Last configuration change at x by " + "\x1b[31m" + "a" * 500 + "\n"
    author = told_by("cisco_ios", [text], unasked).author
    assert len(author) == 100
    assert author.isprintable()
