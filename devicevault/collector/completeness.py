"""Whether a text is the device's whole configuration: only then may a row say ``success``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from devicevault.collector.normalise import Normalised, normalise, without_preamble
from devicevault.collector.text import is_only_a_question
from devicevault.errors import CommandRefused, CommandRejected, OutputEmpty, OutputTruncated
from devicevault.platforms.describe import plain
from devicevault.platforms.page import Completeness, Platform

#: An error text stands in the first or last lines of an output; further in, it is a description or a banner.
_ERROR_LINES: Final = 8
_TAIL_CHARACTERS: Final = 4000
_QUOTED_MAX: Final = 80


def judge(platform: Platform, text: str, *, marked: bool = False) -> str:
    """What proves ``text`` whole, in words; ``marked`` says that the device was made to write the page's mark.

    Raises :class:`OutputEmpty`, :class:`CommandRejected` or :class:`OutputTruncated`. A page with ``read_twice``
    is not yet proven by this alone, unless the text is marked: it must be :func:`counted`, or a second reading must
    :func:`agree`.
    """
    complete = platform.complete
    if marked:
        complete = complete.model_copy(update={"ends_with": complete.mark})
    body = without_preamble(platform, text).rstrip()
    if not body:
        raise OutputEmpty(
            "the device answered with nothing that could be a configuration",
            "check that the login may read the configuration",
        )
    if line := refusal(platform, body):
        raise CommandRefused(f"the device answered {_quoted(platform, line)}", "give the login the right to read it")
    if line := rejection(platform, body):
        raise CommandRejected(
            f"the device answered {_quoted(platform, line)}",
            "check the login's privileges and that the platform fits the device",
        )
    missing = list(_missing(complete, body))
    if missing:
        raise OutputTruncated(
            f"the output is not a whole configuration: {'; '.join(missing)}; it stops at {_last_line(platform, body)}",
            "try again; if it stays so, check the login's privileges and that the platform fits the device",
        )
    return _proof(complete)


def count_in(platform: Platform, answer: str) -> int | None:
    """How many lines the device says there are, or None where its answer tells no number."""
    found = platform.complete.count.search(answer)
    return int(found[1]) if found else None


def lines_in(platform: Platform, raw: str, *, echoed: bool) -> int:
    """How many lines came, counted as this platform's devices count them.

    ``raw`` is the whole answer, from the echo to the prompt. What stands on the prompt's line is no line: there the
    output was cut.
    """
    lines = [line for line in raw.split("\n")[int(echoed) : -1] if not is_only_a_question(line)]
    return len(lines) if platform.complete.counts_blank else sum(map(bool, map(str.strip, lines)))


def counted(lines: int, count: int) -> str:
    """What the device's own count of lines proves. Raises :class:`OutputTruncated` where lines are missing.

    More lines than counted are no fault: some devices do not count the heading's.
    """
    if lines < count:
        raise OutputTruncated(
            f"the device counts {count} lines and sent {lines}: the output was cut, or the configuration was being "
            "changed",
            "try again; if it stays so, see why the device cuts its output",
        )
    return f"{count} lines, as the device counts"


def agree(platform: Platform, first: Normalised, second: Normalised) -> str:
    """What a second reading proves. Raises :class:`OutputTruncated` where it differs from the first."""
    if first.comparable != second.comparable:
        raise OutputTruncated(
            f"two readings differ ({first.text.count(chr(10))} and {second.text.count(chr(10))} lines): "
            "one was cut, or the configuration was being changed",
            f"try again; {platform.title} has no end mark, so only two equal readings prove a whole configuration",
        )
    return "two readings agree"


def rejection(platform: Platform, text: str) -> str:
    """The line that says the device does not know the command, or an empty string: another may be tried."""
    return _error_line(platform.errors, text)


def refusal(platform: Platform, text: str) -> str:
    """The line that says this login may not use the command, or an empty string."""
    return _error_line(platform.refusals, text)


def _error_line(patterns: Sequence[re.Pattern[str]], text: str) -> str:
    first = list(islice(filter(str.strip, _lines(text)), _ERROR_LINES))
    last = list(islice(filter(str.strip, _lines_backwards(text)), _ERROR_LINES))
    ends = (*first, *reversed(last))
    return next((line.strip() for line in ends if any(pattern.search(line) for pattern in patterns)), "")


def _lines(text: str) -> Iterator[str]:
    """One by one: only the first few of thousands are looked at."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _lines_backwards(text: str) -> Iterator[str]:
    end = len(text)
    while (start := text.rfind("\n", 0, end)) >= 0:
        yield text[start + 1 : end]
        end = start
    yield text[:end]


def _missing(complete: Completeness, body: str) -> Iterator[str]:
    if complete.begins_with and not complete.begins_with.match(body):
        yield "it does not begin as a configuration does"
    if complete.ends_with and not _ending(complete.ends_with, body):
        yield f"it does not end with {plain(complete.ends_with.pattern)!r}"
    for pattern in complete.must_have:
        if not pattern.search(body):
            yield f"no line matches /{pattern.pattern}/"
    for pattern in complete.must_not_have:
        if found := pattern.search(body):
            yield f"it holds {found[0].strip()[:_QUOTED_MAX]!r}"
    if complete.balanced and (open_count := _unbalanced(complete.balanced, body)):
        yield f"{open_count} more {complete.balanced[0]} than {complete.balanced[1]}"
    if complete.blocks:
        yield from _open_blocks(complete.blocks, body)


def _proof(complete: Completeness) -> str:
    proofs: list[str] = []
    if complete.must_not_have:
        proofs.append("nothing is kept back")
    if complete.ends_with:
        proofs.append(f"ends with {plain(complete.ends_with.pattern)!r}")
    if complete.balanced:
        proofs.append(f"every {complete.balanced[0]} is closed")
    if complete.blocks:
        proofs.append("every block is closed")
    return ", ".join(proofs)


def _ending(pattern: re.Pattern[str], body: str) -> bool:
    tail = body[-_TAIL_CHARACTERS:]
    return any(match.end() == len(tail) for match in pattern.finditer(tail))


def _unbalanced(pair: tuple[str, str], body: str) -> int:
    """How many openers stay open; a closer too many counts as well."""
    opener, closer = pair
    depth = 0
    for line in body.split("\n"):
        stripped = line.strip()
        if stripped.startswith(closer):
            depth -= 1
        if stripped.endswith(opener):
            depth += 1
        if depth < 0:
            break
    return depth


def _open_blocks(pairs: Iterable[tuple[re.Pattern[str], re.Pattern[str]]], body: str) -> Iterator[str]:
    """Blocks opened and never closed. Lines inside a quoted text that spans lines are not looked at."""
    rules = tuple(pairs)
    open_closers: list[re.Pattern[str]] = []
    in_quotes = False
    for number, line in enumerate(body.split("\n"), start=1):
        was_in_quotes = in_quotes
        if '"' in line and _is_odd(line):
            in_quotes = not in_quotes
        if was_in_quotes:
            continue
        opened = next((closer for opener, closer in rules if opener.search(line)), None)
        if opened is not None:
            open_closers.append(opened)
        elif any(closer.search(line) for _, closer in rules) and not (open_closers and open_closers.pop().search(line)):
            yield f"line {number} closes a block that was not open"
            return
    if in_quotes:
        yield "a quoted text is not closed"
    elif open_closers:
        yield f"{len(open_closers)} blocks are not closed"


def _is_odd(line: str) -> bool:
    """Whether the line opens or closes a quoted text without doing the other."""
    return line.replace("\\\\", "").replace('\\"', "").count('"') % 2 == 1


def _quoted(platform: Platform, line: str) -> str:
    shown = normalise(platform, line).text.strip()
    return repr(shown if len(shown) <= _QUOTED_MAX else shown[:_QUOTED_MAX] + "…")


def _last_line(platform: Platform, body: str) -> str:
    """The last line, redacted within the whole text: a cut may fall into the middle of a private key."""
    lines = normalise(platform, body).text.rstrip().rsplit("\n", 1)
    return repr(lines[-1].strip()[:_QUOTED_MAX])
