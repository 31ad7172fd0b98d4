"""The plugin ``https``: what an HTTPS API answers. The credential goes in a header, never in a URL.

A page asks for ``/path?query``, or for ``POST /path?query`` where that is known to read only. A device that knows no
TLS is asked over plain HTTP where its own options say so; its password is then never sent, but proven by a digest.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPResponse
from typing import Any, Final, Literal

import devicevault
from devicevault.credentials import Credential
from devicevault.errors import CommandRejected, CredentialUnusable, PluginUnusable
from devicevault.plugins.digest import answer_to
from devicevault.plugins.http_exchange import Call, exchange, judge, read
from devicevault.plugins.protocol import Device, Fetched, Read
from devicevault.plugins.told import TlsTold, complaints

#: Paths at which a POST only reads. FortiOS: its backup answers to nothing else since 7.0.
READING_POSTS: Final = ("/api/v2/monitor/system/config/backup",)
#: Words in a path or query that do more than read, in the APIs known here and in those like them.
_CHANGES: Final = re.compile(
    r"(?i)(?<![a-z])(?:set|add|edit|delete|del|move|rename|override|commit|import|restore|revert|reboot|restart|"
    r"reconfigure|reset|shutdown|halt|poweroff|install|upgrade|update|remove|clear|start|stop|apply|upload|save|keygen|op)"
    r"(?![a-z])"
)
_ASK: Final = re.compile(r"(?:(GET|POST) )?(/[!-~]*)")


class HttpsTold(TlsTold):
    #: ``http`` for devices that know no TLS. Each has to say ``plain_http = true`` in its own options.
    scheme: Literal["https", "http"] = "https"
    #: How the credential is sent: its password as a token behind ``Bearer``, both as basic authentication, as a digest,
    #: or its password alone in the header of this name.
    authorization: str = "bearer"
    #: Statuses that mean the credential was refused. Others from 400 on mean that the request was.
    refused: tuple[int, ...] = (401,)
    accept: str = "*/*"


class Https:
    """One request for each artifact, on a connection of its own."""

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> Iterator[str]:
        yield from complaints(HttpsTold, settings)
        if settings.get("scheme") == "http" and settings.get("authorization") != "digest":
            yield 'scheme: over plain http a credential goes as a digest only; say authorization = "digest"'
        for ask in asks:
            if problem := _problem(ask):
                yield f"{ask!r} {problem}"

    @contextmanager
    def open(self, device: Device) -> Iterator[Read]:
        told = HttpsTold.model_validate(dict(device.settings))
        if told.scheme == "http":
            _in_the_clear(device)
        headers = {
            "User-Agent": f"devicevault/{devicevault.__version__}",
            "Accept": told.accept,
            "Connection": "close",
            **_authorization(told.authorization, device.credential),
        }
        yield lambda ask: _fetch(device, told, headers, ask)


def _in_the_clear(device: Device) -> None:
    """Warns. Raises :class:`PluginUnusable` where nobody said that this device may be read so."""
    if device.options.get("plain_http") is not True:
        raise PluginUnusable(
            f"{device.name} would be read over plain HTTP, where everybody on the way sees its configuration and the "
            "secrets in it",
            "if the way to it is trusted, say options.plain_http = true for this device in the inventory",
        )
    device.warn(
        "Plain HTTP: everybody on the way can read the configuration and the secrets in it, and can guess at the "
        "password; give the device a management network and a password of its own"
    )


def _problem(ask: str) -> str:
    found = _ASK.fullmatch(ask)
    if found is None:
        return 'is no request: write "/path?query"'
    method, target = found.groups()
    path = target.partition("?")[0]
    if method == "POST":
        return "" if path in READING_POSTS else "is a POST that may change the device; a plugin only reads"
    if words := _CHANGES.search(target):
        return f"may change the device ({words[0]!r}); a plugin only reads"
    return ""


def _authorization(how: str, credential: Credential) -> dict[str, str]:
    if not credential.password:
        raise CredentialUnusable(
            f"credential {credential.name!r} has no password", "an API's token or secret is its password"
        )
    if how == "digest":
        return {}  # it answers each challenge anew
    try:
        if how == "bearer":
            return {"Authorization": "Bearer " + _header(credential.password)}
        if how == "basic":
            pair = f"{credential.username}:{credential.password}".encode()
            return {"Authorization": "Basic " + b64encode(pair).decode()}
        return {how: _header(credential.password)}
    except ValueError:
        raise CredentialUnusable(
            f"the password of credential {credential.name!r} can't be a token", "it holds a blank or a line's end"
        ) from None


def _header(token: str) -> str:
    if not re.fullmatch(r"[!-~]+", token):
        raise ValueError("no token")
    return token


def _fetch(device: Device, told: HttpsTold, headers: Mapping[str, str], ask: str) -> Fetched:
    found = _ASK.fullmatch(ask)
    if found is None:
        raise CommandRejected(f"{ask!r} {_problem(ask)}", "correct ask in the page")
    method, target = found.groups(default="GET")
    call = Call(method, target, headers, is_plain=told.scheme == "http")
    if told.authorization == "digest":
        challenges = exchange(device, call, lambda answer: _challenges(device, told, call, answer))
        authorization = {"Authorization": _digest(device, challenges, method, target)}
        call = replace(call, headers={**headers, **authorization})

    def take(answer: HTTPResponse) -> Fetched:
        judge(device, call, answer, told.refused)
        return read(device, call, answer)

    return exchange(device, call, take)


def _challenges(device: Device, told: HttpsTold, call: Call, answer: HTTPResponse) -> Sequence[str]:
    if answer.status != 401:
        judge(device, call, answer, told.refused)
    return answer.headers.get_all("WWW-Authenticate", [])


def _digest(device: Device, challenges: Sequence[str], method: str, target: str) -> str:
    credential = device.credential
    try:
        return answer_to(challenges, credential.username, credential.password, method, target)
    except ValueError:
        raise CommandRejected(
            f"{device.address} port {device.port} does not ask for a digest with MD5 or SHA-256",
            "check that the platform fits the device",
        ) from None
