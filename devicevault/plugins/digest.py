"""Digest authentication of HTTP (RFC 7616): the password is proven, and never sent."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Final

_SCHEME: Final = re.compile(r"(?i)\s*digest\s+")
_PARAMETER: Final = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
#: Strongest first.
_ALGORITHMS: Final = ("sha-256", "md5")


def answer_to(challenges: Sequence[str], username: str, password: str, method: str, target: str) -> str:
    """The header ``Authorization`` for the strongest of these ``WWW-Authenticate``.

    Raises :class:`ValueError` where none is a digest that is known here.
    """
    offered = [told for challenge in challenges if (told := _told(challenge))]
    known = [told for told in offered if _algorithm(told) in _ALGORITHMS and "auth" in _qualities(told)]
    if not known:
        raise ValueError("no digest with MD5 or SHA-256")
    told = min(known, key=lambda each: _ALGORITHMS.index(_algorithm(each)))
    algorithm = _algorithm(told)
    secret = _hash(algorithm, username, _plain(told["realm"]), password)
    asked = _hash(algorithm, method, target)
    fields = {"username": _quoted(username), "realm": told["realm"], "nonce": told["nonce"], "uri": _quoted(target)}
    if told.get("qop"):
        count, ours = "00000001", secrets.token_hex(8)
        response = _hash(algorithm, secret, _plain(told["nonce"]), count, ours, "auth", asked)
        rest = f", qop=auth, nc={count}"
        fields["cnonce"] = ours
    else:  # as RFC 2069 had it
        response = _hash(algorithm, secret, _plain(told["nonce"]), asked)
        rest = ""
    fields["response"] = response
    if "opaque" in told:
        fields["opaque"] = told["opaque"]
    words = ", ".join(f'{name}="{value}"' for name, value in fields.items())
    return f"Digest {words}, algorithm={algorithm.upper()}{rest}"


def _told(challenge: str) -> dict[str, str]:
    """Its parameters, quoted ones as they stand between the quotes; none where it is no digest that can be answered."""
    begins = _SCHEME.match(challenge)
    if begins is None or not challenge.isprintable():
        return {}
    told = {
        found[1].lower(): found[2] if found[2] is not None else found[3]
        for found in _PARAMETER.finditer(challenge, begins.end())
    }
    return told if {"realm", "nonce"} <= told.keys() else {}


def _algorithm(told: dict[str, str]) -> str:
    return told.get("algorithm", "md5").lower()


def _qualities(told: dict[str, str]) -> set[str]:
    return {quality.strip() for quality in told.get("qop", "auth").lower().split(",")}


def _hash(algorithm: str, *parts: str) -> str:
    return hashlib.new(algorithm.replace("-", ""), ":".join(parts).encode(), usedforsecurity=False).hexdigest()


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


def _quoted(text: str) -> str:
    """Safe between quotes; a header holds bytes, which ``http.client`` takes as Latin-1."""
    return re.sub(r'(["\\])', r"\\\1", text).encode().decode("latin-1")
