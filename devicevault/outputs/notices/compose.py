"""The words of a message: one notice, or many in a digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

#: What a digest tells at length; the rest by its title.
LINES_MAX: Final = 1500
#: Titles a digest names.
TITLES_MAX: Final = 500

_WORDS: Final = {
    "changed": "changed",
    "failing": "failing",
    "host_key": "with another host key",
    "suspect": "suspect",
    "stale": "stale",
    "recovered": "recovered",
    "worker_gone": "without a worker",
    "output_failing": "of the vault itself",
}


def title(notices: Sequence[dict[str, Any]]) -> str:
    """The subject."""
    if len(notices) == 1:
        return f"DeviceVault: {notices[0]['title']}"
    counts = Counter(str(notice["kind"]) for notice in notices)
    return "DeviceVault: " + ", ".join(f"{count} {_WORDS.get(kind, kind)}" for kind, count in counts.most_common())


def body(notices: Sequence[dict[str, Any]]) -> str:
    """The text below it."""
    if len(notices) == 1:
        only = notices[0]
        return "\n".join(filter(None, (_place(only), str(only["text"])))) or str(only["title"])
    head = [f"- {_at(notice)} {notice['title']}{_of_group(notice)}" for notice in notices[:TITLES_MAX]]
    if len(notices) > TITLES_MAX:
        head.append(f"- and {len(notices) - TITLES_MAX} more")
    return "\n".join([*head, *_at_length(notices)])


def _at_length(notices: Sequence[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for notice in notices:
        text = str(notice["text"]).splitlines()
        if text and len(lines) + len(text) <= LINES_MAX:
            lines += ["", f"{notice['title']}{_of_group(notice)}", *text]
    return lines


def _place(notice: dict[str, Any]) -> str:
    return f"group {notice['group']}, {_at(notice)} UTC\n" if notice["group"] else ""


def _of_group(notice: dict[str, Any]) -> str:
    return f" [{notice['group']}]" if notice["group"] else ""


def _at(notice: dict[str, Any]) -> str:
    return str(notice["at"])[:16].replace("T", " ")
