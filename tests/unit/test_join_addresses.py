"""A joined worker is told of every node of the broker, and of the sentinels, with its own account on each."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from devicevault.errors import UsageError
from devicevault.join.accounts import account_commands, redis_rules
from devicevault.join.export import export
from devicevault.settings import Settings, VaultSettings, load_settings
from devicevault.settings.sentinel import sentinel_url
from tests.certificates import Authority

NODES = "amqp://vault:secret@a.example.net//;amqp://vault:secret@b.example.net//"
SENTINELS = "sentinel://:secret@a.example.net,b.example.net:26380/1?master=vault&sentinel_password=other"


def exported(
    tmp_path: Path,
    *,
    broker_url: str = "",
    redis_url: str = "",
    own_broker: str = NODES,
    own_redis: str = SENTINELS,
    authority: Path | None = None,
) -> Settings:
    settings = Settings(
        broker_url=own_broker,
        redis_url=own_redis,
        platforms_dir=tmp_path / "platforms",
        vault=VaultSettings(originals="plain"),
    )
    told = export(settings, "dmz", broker_url=broker_url, redis_url=redis_url, authority=authority)
    config = tmp_path / "config.toml"
    config.write_text(told.settings)
    return load_settings(config, {})


@pytest.mark.parametrize("broker_url", ["", "amqp://a.example.net//;amqp://b.example.net//"])
def test_every_node_is_told_with_the_groups_account(tmp_path: Path, broker_url: str) -> None:
    settings = exported(tmp_path, broker_url=broker_url)
    nodes = [urlsplit(node) for node in settings.broker_url.split(";")]
    assert [node.hostname for node in nodes] == ["a.example.net", "b.example.net"]
    assert {node.username for node in nodes} == {"devicevault-dmz"}
    assert len({node.password for node in nodes}) == 1
    assert "secret" not in settings.broker_url


def test_sentinels_are_told_with_the_groups_account_on_the_servers(tmp_path: Path) -> None:
    told = sentinel_url(exported(tmp_path).redis_url)
    assert told.sentinels == (("a.example.net", 26379), ("b.example.net", 26380))
    assert (told.master, told.database, told.username) == ("vault", 1, "devicevault-dmz")
    assert told.password != "secret"
    assert told.sentinel_password == "other"


def test_sentinels_may_have_ipv6_addresses_and_names(tmp_path: Path) -> None:
    """Newer Pythons take no bracket but a URL's first sign behind the login."""
    places = "[2001:db8::1]:26379,b.example.net:26380,[2001:db8::3]"
    settings = exported(tmp_path, own_redis=SENTINELS.replace("a.example.net,b.example.net:26380", places))
    told = sentinel_url(settings.redis_url)
    assert told.sentinels == (("2001:db8::1", 26379), ("b.example.net", 26380), ("2001:db8::3", 26379))
    assert f"ACL SETUSER devicevault-dmz {redis_rules('dmz', 'device:results')}" in account_commands(settings, "dmz")
    assert f" >{told.password}" in account_commands(settings, "dmz")


def test_only_an_address_with_tls_is_told_whom_to_trust(tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(Authority().certificate)
    settings = exported(
        tmp_path,
        own_broker="amqps://[2001:db8::1];amqps://[2001:db8::2]",
        redis_url="redis://vault.example.net/1",
        authority=authority,
    )
    assert all("ssl_ca_certs=" in node for node in settings.broker_url.split(";"))
    assert "ssl_" not in settings.redis_url
    assert '"devicevault-dmz"' in account_commands(settings, "dmz")


def test_one_sentinel_on_this_host_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="on this host only"):
        exported(tmp_path, own_redis=SENTINELS.replace("b.example.net", "[::1]"))


def test_one_node_on_this_host_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="on this host only"):
        exported(tmp_path, own_broker="amqp://vault:secret@a.example.net//;amqp://vault:secret@localhost//")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"redis_url": "rediss://vault.example.net:six/1"}, "--redis-url has a port that is no number"),
        ({"redis_url": "rediss://[vault]/1"}, "--redis-url has an address in brackets"),
        ({"redis_url": "vault.example.net"}, "--redis-url is not such a URL"),
        ({"broker_url": "https://vault.example.net"}, "--broker-url is not such a URL"),
        ({"broker_url": NODES}, "--broker-url holds a password"),
    ],
)
def test_a_wrong_address_is_refused_before_a_worker_has_it(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told}"):
        exported(tmp_path, **given)
