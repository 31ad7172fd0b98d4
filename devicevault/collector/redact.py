"""Hide secrets in a text.

The rules of the device's platform page come first, then a filter that knows what secrets look like anywhere. The
filter would rather hide a harmless word than show a password; what it hides is still in the sealed original, and a
change of it still counts through the keyed digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from devicevault.collector.scan import Scan
from devicevault.platforms.page import SecretRule

PLACEHOLDER: Final = "<secret hidden>"

#: A password such as ``cisco`` is hidden where the rules find it, but not in every file name.
OWN_SECRET_MIN_CHARACTERS: Final = 8

#: Stands for a hidden secret while rules still run: no text holds it, and a rule can't take half of it.
_MARK: Final = "\x00"

#: Words a secret follows, alone or as the end of a longer one (``encrypted-password``, ``psksecret``).
_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "pre-shared-key",
    "preshared-key",
    "private-key",
    "privatekey",
    "presharedkey",
    "secret-key",
    "server-key",
    "auth-key",
    "authentication-key",
    "encryption-key",
    "shared-key",
    "key-string",
    "api-key",
    "api_key",
    "apikey",
    "wpa-psk",
    "ascii-text",
    "auth-token",
    "access-token",
)
#: How the secret is written: a type number or a word for it, between the word above and the secret.
_WRITTEN: Final = (
    r"(?:(?:\d{1,2}|ENC|encrypted|cipher|ciphertext|hash|hashed|simple|plaintext|plain|clear|clear-text|cleartext|ascii|"
    r"hex|sha256|sha512|md5|pbkdf2|scrypt|is|value|key|plaintext-password|ascii-text|hexadecimal|"
    r"level \d{1,2}|address \S+(?: [\d.]+)?|hostname \S+|local|remote|read|write|ro|rw)[ \t]+)*"
)
_VALUE: Final = r"""(?P<secret>"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[^\s"';{}\[\]]+)"""
#: What follows such a word without being a secret.
_HARMLESS: Final = (
    r"(?!(?:encryption|policy|recovery|required|require|none|enable|enabled|disable|disabled|true|false|yes|no|"
    r"minimum|maximum|min-length|max-length|expire|expiry|aging|history|strength|strength-check|complexity|prompt|"
    r"authentication|change|retry|rotation|age|control|lifetime|length|format|local|use|files?)(?:[\s;,]|$))"
)


def _after_word(word: str) -> re.Pattern[str]:
    separator = r"""["']?(?:[ \t]*[=:][ \t]*|[ \t]+)"""
    return re.compile(rf"(?i){re.escape(word)}{separator}{_WRITTEN}{_HARMLESS}{_VALUE}")


_LOOKS: Final = (
    # Private keys, also when their end did not arrive; the text between is bounded by the next dashes.
    re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----\n?(?P<secret>(?:(?!-----)[\s\S]){1,20000})"),
    # scheme://user:password@host
    re.compile(r"://[^\s:/@\"']{0,128}:(?P<secret>[^\s/\"']{1,512})@(?=[^\s@])"),
    # user:password@host without a scheme, as mail servers and copy commands take it; a SIP address is none
    re.compile(
        r"(?<![\w:/.@-])(?!(?i:sips?|mailto|tel|acct|xmpp):)[\w.-]{1,64}:(?P<secret>[^\s:@/\"']{1,128})@(?=[\w\[])"
    ),
    re.compile(rf"(?i)\bauthorization[\"']?[ \t]*[:=][ \t]*[\"']?(?:bearer|basic|token)[ \t]+{_VALUE}"),
    # crypt(3) and vendors' likenesses of it: $1$, $6$, Cisco $8$ $9$ $14$, Junos $9$, Comware $h$6$, ASA $sha512$
    re.compile(
        r"\$(?:\d{1,2}[abxy]?|y|gy|md5|apr1|sha1|sha256|sha512|pbkdf2[-\w]{0,16}|scrypt|argon2\w{0,2}|c|h|aes\w{0,12})"
        r"\$[^\s\"',;]{4,}"
    ),
    re.compile(r"\bENC (?P<secret>[A-Za-z0-9+/=]{12,})"),
    re.compile(r"\bciphertext[ \t]+(?P<secret>[^\s\"']{4,})"),
    re.compile(rf"(?i)\bsnmp[^\n]{{0,200}}?\bcommunity[ \t]+{_WRITTEN}{_VALUE}"),
    re.compile(rf"(?i)\b(?:tacacs|radius)[^\n]{{0,200}}?[ \t]key[ \t]+{_WRITTEN}{_VALUE}"),
    re.compile(rf"(?i)\bpsk[ \t]*=[ \t]*{_VALUE}"),
    *map(_after_word, _WORDS),
)
#: The filter behind every page.
FILTER: Final = tuple(SecretRule(pattern=pattern) for pattern in _LOOKS)


class Redaction:
    """A text while its secrets are being hidden, rule by rule."""

    def __init__(self, text: str, *, made_from: Scan | None = None) -> None:
        """``made_from``: as :class:`Scan` takes it."""
        # A text that was redacted before, such as a recording, stays as it is. Without its marks, words may come
        # together that were none.
        unmarked = text.replace(_MARK, "")
        self._scan = Scan(
            unmarked.replace(PLACEHOLDER, _MARK), made_from=made_from if len(unmarked) == len(text) else None
        )
        #: How many secrets are hidden so far.
        self.hidden = 0

    @property
    def text(self) -> str:
        """The text with each hidden secret as ``<secret hidden>``."""
        return self._scan.text.replace(_MARK, PLACEHOLDER)

    def hide(self, rules: Iterable[SecretRule]) -> None:
        """Hide what these rules know to be secret, and all around a part of it that is hidden already."""
        for rule in rules:
            self._hide(rule, keep_hidden=False)

    def hide_anywhere(self) -> None:
        """Hide what looks like a secret on any platform; a text around a hidden part stays, such as an address."""
        for rule in FILTER:
            self._hide(rule, keep_hidden=True)

    def hide_words(self, secrets: Iterable[str]) -> None:
        """Hide these very secrets, unless they are so short that they would be other words as well."""
        for secret in secrets:
            if len(secret) >= OWN_SECRET_MIN_CHARACTERS:
                pattern = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")
                self._hide(SecretRule(pattern=pattern), keep_hidden=True)

    def _hide(self, rule: SecretRule, *, keep_hidden: bool) -> None:
        text = self._scan.text
        pieces: list[str] = []
        position = 0
        for start, end in _secrets(self._scan, rule):
            secret = text[start:end]
            known = _MARK in secret if keep_hidden else secret.strip("\"'") == _MARK
            if start >= position and secret and not known:
                pieces += (text[position:start], _MARK)
                position = end
        if pieces:
            self.hidden += len(pieces) // 2
            self._scan = Scan("".join((*pieces, text[position:])), made_from=self._scan)


def _secrets(scan: Scan, rule: SecretRule) -> Iterator[tuple[int, int]]:
    """Where the rule's secrets stand: group ``secret``, else group 1, else the whole match."""
    pattern = rule.pattern
    group: str | int = "secret" if "secret" in pattern.groupindex else min(pattern.groups, 1)
    if rule.within is None:
        yield from (match.span(group) for match in scan.matches(pattern))
        return
    for block in scan.matches(rule.within):
        for match in Scan(block[0]).matches(pattern):
            start, end = match.span(group)
            yield block.start() + start, block.start() + end
