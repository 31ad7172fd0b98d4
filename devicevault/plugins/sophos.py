"""The plugin ``sophos``: what the XML API of Sophos Firewall (SFOS) answers to ``Get``.

A page asks for a list of the API's entities: ``Zone Interface FirewallRule``. Name and password of the credential go in
the request's body, as the API wants them, and nothing but ``Get`` is ever sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any, Final
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import devicevault
from devicevault.errors import (
    AuthenticationFailed,
    CommandRefused,
    CommandRejected,
    CredentialUnusable,
    OutputTruncated,
)
from devicevault.plugins.http_exchange import Call, exchange, judge, read
from devicevault.plugins.protocol import Device, Fetched, Read
from devicevault.plugins.told import TlsTold, complaints

TARGET: Final = "/webconsole/APIController"
#: Entities asked for at one time: each request logs in anew, and an answer has to be made before it is sent.
BATCH: Final = 20
_ENTITY: Final = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
_ANSWER: Final = re.compile(r"\s*(?:<\?xml[^>]*\?>\s*)?<Response\b([^>]*)>(.*)</Response>\s*", re.DOTALL)
_LOGIN: Final = re.compile(r"\s*<Login>\s*<status>([^<]*)</status>\s*</Login>", re.IGNORECASE)
#: Of the request as a whole, not of one entity: it stands where entities would begin.
_STATUS: Final = re.compile(r'\s*<Status code="(\d+)">([^<]*)</Status>')
_UNKNOWN: Final = re.compile(
    r'[ \t]{0,80}<(\w{1,64})[^<>\n]{0,80}>\s{0,80}<Status code="529">[^<\n]{0,200}</Status>\s{0,80}</\1>\n?', re.ASCII
)
_LOGGED_IN: Final = "authentication successful"


class Sophos:
    """Asks in batches, on a connection each, and puts the answers together again."""

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> Iterator[str]:
        yield from complaints(TlsTold, settings)
        for ask in asks:
            if wrong := [word for word in ask.split() if not _ENTITY.fullmatch(word)]:
                yield f"{wrong[0]!r} is no entity's name"
            elif not ask.split():
                yield "ask names no entity"

    @contextmanager
    def open(self, device: Device) -> Iterator[Read]:
        if not device.credential.password:
            raise CredentialUnusable(
                f"credential {device.credential.name!r} has no password", "the API asks for name and password"
            )
        yield lambda ask: _fetch(device, ask.split())


def _fetch(device: Device, entities: Sequence[str]) -> Fetched:
    """One answer made of all, in the order asked for; entities that this release does not know are left out."""
    parts: list[str] = []
    size, heading = 0, ""
    for start in range(0, len(entities), BATCH):
        heading, part = _get(device, entities[start : start + BATCH])
        parts.append(part)
        size += len(part)
        device.check_size(size)
    text = "\n".join((f"<Response{heading}>", *parts, "</Response>", ""))
    return Fetched(text.encode("latin-1"), f"{len(parts)} answers, each to its end")


def _get(device: Device, entities: Sequence[str]) -> tuple[str, str]:
    """The answer's attributes, and what it tells of these entities."""
    call = Call("POST", TARGET, _HEADERS, _body(device, entities))

    def take(answer: HTTPResponse) -> bytes:
        judge(device, call, answer)
        return read(device, call, answer).content

    # Taken as Latin-1, so that it keeps the device's own bytes.
    answer = _ANSWER.fullmatch(exchange(device, call, take).decode("latin-1"))
    if answer is None:
        raise OutputTruncated(
            f"the answer of {device.address} port {device.port} does not end with </Response>",
            "try again; if it stays so, check that the platform fits the device",
        )
    rest = _logged_in(device, answer[2])
    for unknown in _UNKNOWN.findall(rest):
        device.note(f"This release of SFOS does not know {unknown}")
    return answer[1], _UNKNOWN.sub("", rest).strip("\r\n")


def _logged_in(device: Device, text: str) -> str:
    """The text behind the login's status. Raises what the status says, and what is said in the place of entities."""
    login = _LOGIN.match(text)
    if login and login[1].strip().casefold() != _LOGGED_IN:
        raise AuthenticationFailed(
            f"{device.address} port {device.port} refuses credential {device.credential.name!r}",
            "check name and password, and that the administrator's profile may use the API",
        )
    rest = text[login.end() :] if login else text
    if status := _STATUS.match(rest):
        said = "".join(sign for sign in status[2] if sign.isprintable())[:120]
        if status[1] in ("532", "534"):  # it is turned off, or not for our address
            raise CommandRefused(
                f"{device.address} port {device.port} answers {status[1]} {said}",
                "Backup & firmware > API: turn it on, and allow the worker's address",
            )
        raise CommandRejected(
            f"{device.address} port {device.port} answers {status[1]} {said}",
            "check that the platform fits the device and its release",
        )
    if login is None:
        raise CommandRejected(
            f"{device.address} port {device.port} does not answer as the API of Sophos Firewall",
            "check the port, and that the platform fits the device",
        )
    return rest


def _body(device: Device, entities: Sequence[str]) -> bytes:
    credential = device.credential
    request = (
        f"<Request><Login><Username>{escape(credential.username)}</Username>"
        f"<Password>{escape(credential.password)}</Password></Login>"
        f"<Get>{''.join(f'<{entity}></{entity}>' for entity in entities)}</Get></Request>"
    )
    return f"reqxml={quote_plus(request)}".encode()


_HEADERS: Final = {
    "User-Agent": f"devicevault/{devicevault.__version__}",
    "Accept": "*/*",
    "Content-Type": "application/x-www-form-urlencoded",
    "Connection": "close",
}
