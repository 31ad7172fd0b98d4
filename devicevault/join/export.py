"""Write what a worker's host needs of this vault."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from devicevault.errors import ConfigurationError, Fault, UsageError
from devicevault.join.accounts import account_of
from devicevault.join.file import AUTHORITY_PLACE, JoinFile
from devicevault.platforms import Platforms
from devicevault.settings import Settings, urls
from devicevault.settings.document import toml_value
from devicevault.settings.sentinel import servers_in
from devicevault.tomlfile import read_text
from devicevault.vault_keys import DIGEST, PUBLIC, read_key

#: Written in letters and digits only: the password stands in URLs, a shell's here-document and an ACL rule.
PASSWORD_BYTES: Final = 24
TLS_SCHEMES: Final = ("amqps", "rediss", "sentinels")
LOCAL_NAMES: Final = ("", "localhost")


def export(settings: Settings, group: str, *, broker_url: str, redis_url: str, authority: Path | None) -> JoinFile:
    """The join file of a group, with new passwords for its accounts.

    ``broker_url`` and ``redis_url`` are the addresses as the worker reaches them; empty ones are the vault's own.
    Raises :class:`UsageError` for one that is no address, that no other host can reach, or with a password, and
    :class:`ConfigurationError` for keys and pages that can't be read.
    """
    for option, given, check in (("--broker-url", broker_url, urls.broker), ("--redis-url", redis_url, urls.redis)):
        _check(option, given, check)
    extra = {"ssl_cert_reqs": "required", "ssl_ca_certs": AUTHORITY_PLACE} if authority else {}
    login = f"{account_of(group)}:{secrets.token_hex(PASSWORD_BYTES)}"
    broker = _addresses("broker", broker_url, settings.broker_url, login, extra)
    redis = _address("redis", redis_url, settings.redis_url, login, extra)
    Platforms.load(settings.platforms_dir)  # a wrong page would keep the worker from starting
    keys = {}
    if settings.vault.originals == "sealed":
        for name, path, kind in (
            ("public_key", settings.vault.public_key, PUBLIC),
            ("digest_key", settings.vault.digest_key, DIGEST),
        ):
            read_key(path, kind)
            keys[name] = read_text(path)
    return JoinFile(
        group=group,
        settings="".join(_settings(settings, group, broker, redis)),
        pages={path.stem: read_text(path) for path in sorted(settings.platforms_dir.glob("[!.]*.toml"))},
        authority=_certificate(authority) if authority else "",
        **keys,
    )


def _check(option: str, given: str, check: Callable[[str], str]) -> None:
    try:
        if given:
            check(given)
    except ValueError as error:
        problem, _, fix = str(error).partition("; ")
        raise UsageError(f"{option} {problem}", fix or "correct it") from None


def _addresses(what: str, given: str, own: str, login: str, extra: dict[str, str]) -> str:
    """Of a broker, every node's."""
    parts = zip_longest(given.split(";"), own.split(";") if not given else (), fillvalue="")
    return ";".join(_address(what, one, own_one, login, extra) for one, own_one in parts)


def _address(what: str, given: str, own: str, login: str, extra: dict[str, str]) -> str:
    own_login, places, url = servers_in(given or own)
    if given and ":" in own_login:
        raise UsageError(
            f"--{what}-url holds a password, which everyone on this host can see",
            "leave it out: the worker gets an account of its own",
        )
    is_local = any(_is_local(urlsplit(f"//{place}").hostname or "") for place in places.split(","))
    if not given and (is_local or "+" in url.scheme or url.scheme == "unix"):
        raise UsageError(
            f"{what}_url is an address on this host only",
            f"tell the one the worker reaches, such as --{what}-url {_example(what)}",
        )
    query = urlencode({**dict(parse_qsl(url.query)), **extra}, safe="/@") if url.scheme in TLS_SCHEMES else url.query
    return urlunsplit(url._replace(netloc=f"{login}@{places}", query=query))


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL_NAMES


def _example(what: str) -> str:
    return "amqps://vault.example.net:5671//" if what == "broker" else "rediss://vault.example.net:6380/1"


def _settings(settings: Settings, group: str, broker: str, redis: str) -> Iterator[str]:
    """The settings in which the worker must agree with the vault, and those of its group."""
    yield f"# Made by `devicevault join`: what this host shares with its vault. Workers of group {group}.\n"
    yield f"broker_url = {toml_value(broker)}\nredis_url = {toml_value(redis)}\n"
    yield f"results_stream = {toml_value(settings.results_stream)}\n"
    yield f"\n[vault]\noriginals = {toml_value(settings.vault.originals)}\n"
    yield from _table("queue", settings.queue)
    yield from _table("worker", settings.worker)
    yield from _table("ssh", settings.ssh)
    if group in settings.groups:
        yield from _table(f"groups.{group}.worker", settings.groups[group].worker)
        yield from _table(f"groups.{group}.ssh", settings.groups[group].ssh)
    # A device may name any of them.
    for name, jump in settings.jumps.items():
        yield from _table(f"jumps.{name}", jump)


def _table(name: str, table: Any) -> Iterator[str]:
    told = {key: getattr(table, key) for key in type(table).model_fields if key in table.model_fields_set}
    if told:
        yield f"\n[{name}]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in told.items())


def _certificate(path: Path) -> str:
    text = read_text(path)
    if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY" in text:
        raise ConfigurationError(
            Fault(str(path), "is no certificate in PEM, or holds a private key", "name the authority's certificate")
        )
    return text
