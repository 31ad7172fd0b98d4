"""A secret that slipped through the rules, as it may stand in a text.

A long one is found over several lines too: a key in a PEM block, a dump in hexadecimal, or a word that the device, its
JSON or a difference breaks into lines of any length.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Final

#: Characters of a secret that a device may break over lines; a shorter one would stand in two ends of lines by chance.
BROKEN_FROM: Final = 16
#: Nothing but bytes, in base64 or in groups of hexadecimal digits. Sixteen characters of a key are not there by chance.
_ENCODED: Final = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?:(?=(?:[0-9A-Fa-f][ :]?){16})(?:[0-9A-Fa-f]{2,}[ :])+[0-9A-Fa-f]{2,}"
    r"|(?=[a-zA-Z+/_-]*\d)(?=[\d+/_-]*[A-Za-z])[A-Za-z0-9+/_-]{16,}={0,2})"
)
_REST: Final = re.compile(r"[A-Za-z0-9+/_=-]{1,15}|[0-9A-Fa-f: ]+")
#: The end of a line, also as JSON writes it, with what a device or a difference puts around it.
_BREAK: Final = r"(?:[ \t]*(?:\\?\r?\n|(?:\\r)?\\n)[+-]?[ \t]*)"
_PART: Final = re.compile(r"\s+|\S")


class Leak:
    """One secret, whitespace around it left out. Where it is a key's bytes, any longer part of it counts."""

    def __init__(self, secret: str) -> None:
        #: How many characters it has, whitespace not counted.
        self.characters = len("".join(secret.split()))
        self._whole = re.compile(_expression(secret.strip(), is_long=self.characters >= BROKEN_FROM))
        self._bytes = _bytes_of(secret)

    def is_in(self, text: str) -> bool:
        return self._whole.search(text) is not None or any(self._is_part(run[0]) for run in self._runs(text))

    def hidden(self, text: str, placeholder: str) -> str:
        """The text with ``placeholder`` wherever the secret stands."""

        def without(run: re.Match[str]) -> str:
            # In front of a line, a difference tells what became of it.
            marker = run[0][0] if run[0][0] in "+-" and _squeezed(run[0]) not in self._bytes else ""
            return marker + placeholder if self._is_part(run[0]) else run[0]

        found = self._whole.sub(lambda _: placeholder, text)
        return _ENCODED.sub(without, found) if self._bytes else found

    def _runs(self, text: str) -> Iterable[re.Match[str]]:
        return _ENCODED.finditer(text) if self._bytes else ()

    def _is_part(self, run: str) -> bool:
        return _squeezed(run) in self._bytes or (run[0] in "+-" and _squeezed(run[1:]) in self._bytes)


def _bytes_of(secret: str) -> str:
    """What of the secret is nothing but bytes, in one piece; the last line of them may be short."""
    found: list[str] = []
    is_after_bytes = False
    for line in map(str.strip, secret.splitlines()):
        is_bytes = _ENCODED.fullmatch(line) is not None
        if is_bytes or (is_after_bytes and _REST.fullmatch(line)):
            found.append(_squeezed(line))
        is_after_bytes = is_bytes
    return "".join(found)


def _squeezed(run: str) -> str:
    return run.replace(" ", "").replace(":", "")


def _expression(secret: str, *, is_long: bool) -> str:
    """An expression for the whole secret; a long one may be broken anywhere."""
    parts: list[str] = []
    is_in_word = False
    for part in _PART.findall(secret):
        if "\n" in part:
            parts.append(_BREAK + ("{0,2}" if is_long else "{1,2}"))
        elif part.isspace():
            parts.append(rf"(?:[ \t]+|{_BREAK})")
        else:
            parts.append((f"{_BREAK}?" if is_in_word and is_long else "") + _character(part))
        is_in_word = not part.isspace()
    return "".join(parts)


def _character(character: str) -> str:
    """The character by itself, and as JSON or XML writes it."""
    in_json = (json.dumps(character, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    forms = sorted({character, html.escape(character), *in_json}, key=len, reverse=True)
    return re.escape(character) if len(forms) == 1 else f"(?:{'|'.join(map(re.escape, forms))})"
