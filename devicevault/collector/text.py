"""From what a terminal received to the text the device meant.

A device echoes the command, redraws lines, erases its pager's question and ends with its prompt. ``clean`` replays
what a terminal would do with each line and keeps the rest byte for byte, trailing spaces included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

#: Escape sequences without an effect on the text: colours, modes, titles, character sets.
_SILENT: Final = re.compile(
    r"\x1b(?:\[(?![0-9]*[KD])[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[=>78cDEHMNOZ])"
    r"|[\x00\x07]"
)
#: Put behind a question in the middle of an answer, such as a pager's, with the column it begins at. No device sends
#: this sign: what is received is Latin-1.
_ANSWERED: Final = "\ue000"
_ANSWERS: Final = re.compile(_ANSWERED + r"(\d+)" + _ANSWERED)

#: An echo that is longer is none.
_ECHO_LINES_MAX: Final = 6

_MOVES: Final = re.compile(r"[\r\x08]|\x1b\[([0-9]*)([KD])|[^\r\x08\x1b]+|\x1b")
_MORE: Final = re.compile(r"\s*(?:<?-+ ?\(?more\b[^\n]{0,40}-+>?|\(END\))\s*", re.IGNORECASE)


def decode(raw: bytes) -> str:
    """UTF-8, or Latin-1 where the device speaks something else: no byte is ever dropped."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def clean(
    raw: bytes | str,
    *,
    echo: str,
    prompt: re.Pattern[str] | str = "",
    above_prompt: re.Pattern[str] | None = None,
) -> str:
    """The device's answer alone, lines ended by ``\\n``.

    ``echo`` is the command as typed. ``prompt`` is the page's expression or the prompt itself; it goes from the end
    of the text and from before a repeated echo, and so do lines ``above_prompt`` at the end. Remains of the pager go
    too.
    """
    text = decode(raw) if isinstance(raw, bytes) else raw
    text = _shown(_SILENT.sub("", text) if _is_coloured(text) else text)
    end = _end_without(text, len(text), lambda line: not line.strip() or _is_prompt(line, prompt))
    if above_prompt:
        end = _end_without(text, end, lambda line: not line.strip() or above_prompt.fullmatch(line.strip()) is not None)
    first = text[: max(0, end)].split("\n", _ECHO_LINES_MAX)[:_ECHO_LINES_MAX]
    start = sum(len(line) + 1 for line in first[: _echoed(first, "".join(echo.split()), prompt)])
    start = _start_without_blank(text, start, end)
    return text[start:end] + "\n" if start <= end else ""


def _end_without(text: str, end: int, goes: Callable[[str], bool]) -> int:
    """Where the text ends once the last lines that go are left out; -1 when none stays."""
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        if not goes(text[start:end]):
            break
        end = start - 1
    return end


def _start_without_blank(text: str, start: int, end: int) -> int:
    """Where the first line begins that is not blank; behind ``end`` when there is none."""
    while start <= end:
        found = text.find("\n", start, end)
        line_end = end if found < 0 else found
        if text[start:line_end].strip():
            break
        start = line_end + 1
    return start


def last_line(text: str) -> str:
    """The line the cursor is on, as it stands on the terminal; carriage returns at its end take the cursor home."""
    return _rendered(_SILENT.sub("", text[text.rfind("\n") + 1 :]))


def answered(column: int) -> str:
    """What to put into a text behind a question that begins at this column of the cursor's line."""
    return f"{_ANSWERED}{column}{_ANSWERED}"


def is_only_a_question(line: str) -> bool:
    """Whether a received line held nothing but a question that was answered: the device did not mean it as a line."""
    return _ANSWERED in line and _unasked(_SILENT.sub("", line)) is None


def _is_coloured(text: str) -> bool:
    return any(sign in text for sign in "\x1b\x00\x07")


def _shown(text: str) -> str:
    """The lines as they stand on a terminal, without the pager's remains.

    Most texts move no cursor and hold no pager's word: a look at the whole spares one at each line.
    """
    unmoved = text.replace("\r\n", "\n")
    if not any(sign in unmoved for sign in ("\r", "\x08", "\x1b", _ANSWERED)):
        return _without_pager(unmoved.split("\n")) if _may_be_pager(unmoved) else unmoved
    return _without_pager([shown for line in text.split("\n") if (shown := _unasked(line)) is not None])


def _unasked(line: str) -> str | None:
    """The line as it stands on a terminal, without an answered question; None where it held nothing else."""
    if _ANSWERED not in line:
        return _rendered(line)
    *_, last = _ANSWERS.finditer(line)
    column = int(last[1])
    question = _rendered(_ANSWERS.sub("", line[: last.start()])).rstrip()[column:]
    shown = _rendered(_ANSWERS.sub("", line))
    if not shown[column:].startswith(question):
        return shown  # The device wiped the question off the screen.
    kept = shown[:column] + shown[column + len(question) :]
    return kept if kept.strip() else None


def _without_pager(lines: list[str]) -> str:
    return "\n".join(line for line in lines if not (_may_be_pager(line) and _MORE.fullmatch(line)))


def _may_be_pager(text: str) -> bool:
    return "(END)" in text or "more" in text.lower()


def _is_prompt(line: str, prompt: re.Pattern[str] | str) -> bool:
    if isinstance(prompt, str):
        return bool(prompt.strip()) and line.strip() == prompt.strip()
    found = prompt.match(line)
    return found is not None and not line[found.end() :].strip()


def _echoed(lines: list[str], echo: str, prompt: re.Pattern[str] | str) -> int:
    """How many of the first lines are the command's echo; RouterOS redraws it behind the prompt once more."""
    count = 0
    for number, line in enumerate(lines, start=1):
        squeezed = "".join(line.split())
        if not squeezed:
            continue
        if not echo or not squeezed.endswith(echo):
            break
        before = _prefix(line, len(squeezed) - len(echo))
        if before.strip() and not (_is_prompt(before, prompt) or _is_prompt(before.strip(), prompt)):
            break
        count = number
    return count


def _prefix(line: str, signs: int) -> str:
    """The line's beginning, with so many signs other than blanks, up to the next such sign."""
    for position, sign in enumerate(line):
        if not sign.isspace():
            if signs == 0:
                return line[:position]
            signs -= 1
    return line


def _rendered(line: str) -> str:
    """The line as it stands on a terminal after carriage returns, backspaces and erasures."""
    line = line.rstrip("\r")
    if "\r" not in line and "\x08" not in line and "\x1b" not in line:
        return line
    shown: list[str] = []
    column = 0
    for move in _MOVES.finditer(line):
        typed = move[0]
        if typed == "\r":
            column = 0
        elif typed == "\x08":
            column = max(0, column - 1)
        elif move[2] == "D":
            column = max(0, column - int(move[1][:4] or 1))
        elif move[2] == "K":
            _erase(shown, column, move[1])
        elif typed != "\x1b":
            _write(shown, column, typed)
            column += len(typed)
    return "".join(shown)


def _erase(shown: list[str], column: int, how: str) -> None:
    """Erase to the end of the line (0), up to the cursor (1), or all of it (2)."""
    if how == "1":
        shown[:column] = " " * min(column, len(shown))
    else:
        del shown[0 if how == "2" else column :]


def _write(shown: list[str], column: int, typed: str) -> None:
    """Type ``typed`` over what is shown from ``column`` on; blanks over the rest of a line erase it."""
    end = column + len(typed)
    if not typed.strip() and column < len(shown) and all(shown[index] == " " for index in range(end, len(shown))):
        del shown[column:]
        return
    shown.extend(" " * (column - len(shown)))
    shown[column:end] = typed
