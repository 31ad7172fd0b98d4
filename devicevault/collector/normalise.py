"""From a device's text to the text that is compared, shown, searched and mirrored."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from devicevault.collector.redact import Redaction
from devicevault.collector.scan import Scan
from devicevault.platforms.page import Platform


@dataclass(frozen=True)
class Normalised:
    """``text`` without volatile lines and secrets; ``comparable`` still holds every secret that is not salted anew.

    ``comparable`` is the keyed digest's input and nothing else: it never leaves the worker.
    """

    text: str
    comparable: str = field(repr=False)
    #: Names the rules that made ``comparable``: under two names the keyed digests of one device may differ.
    basis: str
    #: How many secrets were hidden in ``text``.
    redacted: int
    #: How many of them are salted anew at each reading: whether one of these was changed, nobody can tell.
    salted: int = 0


def normalise(platform: Platform, text: str, own_secrets: Collection[str] = ()) -> Normalised:
    """Remove what the platform's page calls preamble and volatile, then hide secrets.

    ``own_secrets`` are those of the session itself: they are hidden wherever they stand, on a line no rule knows too.
    """
    if platform.continuation is not None:
        text = platform.continuation.sub("", text)
    scan = without_volatile(without_preamble(platform, text), platform.volatile)
    redaction = Redaction(framed(scan.text), made_from=scan)
    redaction.hide(rule for rule in platform.secrets if rule.salted)
    comparable, salted = redaction.text, redaction.hidden
    redaction.hide(rule for rule in platform.secrets if not rule.salted)
    redaction.hide_anywhere()
    redaction.hide_words(own_secrets)
    return Normalised(redaction.text, comparable, comparison_basis(platform), redaction.hidden, salted)


def comparison_basis(platform: Platform) -> str:
    """A short digest of those of a page's rules that bear on ``comparable``."""
    patterns = [
        [platform.continuation] if platform.continuation else [],
        platform.preamble,
        platform.volatile,
        [part for rule in platform.secrets if rule.salted for part in (rule.pattern, rule.within) if part],
    ]
    rules = json.dumps([[pattern.pattern for pattern in kind] for kind in patterns])
    return hashlib.sha256(rules.encode()).hexdigest()[:16]


def without_preamble(platform: Platform, text: str) -> str:
    """The text without blank lines at its start and without what the page calls preamble."""
    text = text.lstrip("\r\n")
    for pattern in platform.preamble:
        if found := pattern.match(text):
            text = text[found.end() :].lstrip("\r\n")
    return text


def without_volatile(text: str, patterns: Iterable[re.Pattern[str]]) -> Scan:
    """The text without the lines a pattern matches in; where it has a group ``volatile``, without that group only."""
    scan = Scan(text)
    for pattern in patterns:
        is_part = "volatile" in pattern.groupindex
        pieces: list[str] = []
        position = 0
        for match in scan.matches(pattern):
            start, end = match.span("volatile") if is_part else _whole_lines(scan.text, match)
            if start < position:
                continue
            pieces.append(scan.text[position:start])
            position = end
        if position:
            # What stood around a part stands together now, and may be a word that was not there.
            scan = Scan("".join((*pieces, scan.text[position:])), made_from=None if is_part else scan)
    return scan


def framed(text: str) -> str:
    """The text without blank lines around it, ended by one line end; empty when nothing is left."""
    body = text.strip("\r\n")
    begins, written = len(body) - len(body.lstrip()), len(body.rstrip())
    if not written:
        return ""
    start = body.rfind("\n", 0, begins) + 1
    end = body.find("\n", written)
    return body[start : len(body) if end < 0 else end] + "\n"


def _whole_lines(text: str, match: re.Match[str]) -> tuple[int, int]:
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", max(match.end() - 1, match.start()))
    return start, len(text) if end < 0 else end + 1
