"""What lies in ``/etc/devicevault``: platform pages, credentials, inventory, keys."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Final

from devicevault.credentials import CredentialStore, known_credentials
from devicevault.doctor.finding import Finding, faults_of
from devicevault.errors import ConfigurationError
from devicevault.inventory import Inventory, SourceState, load_inventory
from devicevault.platforms import Platforms
from devicevault.settings import Settings
from devicevault.vault_keys import DIGEST, PUBLIC, key_id, read_key
from devicevault.wording import counted

PLATFORMS: Final = "platforms"
CREDENTIALS: Final = "credentials"
INVENTORY: Final = "inventory"
KEYS: Final = "vault keys"

_UNTIL_THEN: Final = "mend it: until then, devices that are new there are not collected"


def look_at_platforms(settings: Settings) -> Iterator[Finding]:
    """Every page, the packaged ones and those of this site."""
    try:
        count = len(Platforms.load(settings.platforms_dir).names())
    except ConfigurationError as error:
        yield from faults_of(PLATFORMS, error)
    else:
        yield Finding.ok(PLATFORMS, counted(count, "page"))


def look_at_credentials(settings: Settings) -> Iterator[Finding]:
    """The credentials file, where this host has one and this user may read it."""
    path = settings.credentials_file
    try:
        known = known_credentials(path)
        unbound = CredentialStore.load(path).unbound() if known is not None else ()
    except ConfigurationError as error:
        yield from faults_of(CREDENTIALS, error)
        return
    if known is None:
        yield Finding.unknown(
            CREDENTIALS,
            f"{path} is not on this host, or not for this user to read; every worker's host needs one",
        )
        return
    yield Finding.ok(CREDENTIALS, f"{path}: {counted(len(known), 'credential')}")
    for name, jump in settings.jumps.items():
        if jump.credential and jump.credential not in known:
            yield Finding.fault(
                CREDENTIALS,
                f"{path} has no credential {jump.credential!r}, which [jumps.{name}] needs",
                f"add [credentials.{jump.credential}], or name another",
            )
    if unbound:
        yield Finding.warning(
            CREDENTIALS,
            f"bound to nothing: {', '.join(unbound)}; who can write to the broker can have them sent to any address",
            "give each the networks or the groups it is for (docs/credentials.md, Binding)",
        )


def look_at_inventory(settings: Settings) -> Generator[Finding, None, Inventory | None]:
    """The inventory; returns it for the checks that follow, or ``None`` when it is wrong."""
    try:
        credentials = known_credentials(settings.credentials_file)
        platforms = Platforms.load(settings.platforms_dir).names()
    except ConfigurationError as error:
        yield Finding.unknown(INVENTORY, f"not looked at: {error.faults[0].source} is wrong")
        return None
    try:
        inventory = load_inventory(settings, platforms, credentials, fresh=True)
    except ConfigurationError as error:
        yield from faults_of(INVENTORY, error)
        return None
    if len(inventory):
        size = f"{counted(len(inventory), 'device')} in {counted(len(inventory.groups()), 'group')}"
        yield Finding.ok(INVENTORY, f"{inventory.path}: {size}")
    else:
        yield Finding.warning(INVENTORY, f"{inventory.path} has no device", "add one: [devices.NAME]")
    for source in inventory.sources:
        yield from _look_at_source(source)
    return inventory


def _look_at_source(source: SourceState) -> Iterator[Finding]:
    """A source that is away costs no backup while its last answer is known; devices new in it are missing, though."""
    if source.trouble:
        yield Finding.warning(INVENTORY, f"source {source.name}: {source.trouble}", source.fix or _UNTIL_THEN)
    elif not source.faults:
        yield Finding.ok(INVENTORY, f"source {source.name}: {counted(source.devices, 'device')}")
    if source.unkept:
        yield Finding.warning(
            INVENTORY,
            f"source {source.name}: its answer can't be kept: {source.unkept}",
            "give the folder to the group devicevault, with mode 2770 (inventory.kept_dir)",
        )
    if source.faults:
        faults = counted(len(source.faults), "fault")
        yield Finding.warning(
            INVENTORY, f"source {source.name}: {faults}, such as {source.faults[0]}", "see: devicevault devices check"
        )


def look_at_keys(settings: Settings) -> Iterator[Finding]:
    """What seals originals, and whether they can be opened here."""
    vault = settings.vault
    if vault.originals == "plain":
        yield Finding.warning(
            KEYS,
            "originals are kept unsealed: who reads the database reads the devices' secrets",
            'run `devicevault keys create` and set vault.originals = "sealed"',
        )
        return
    try:
        sealing_key = key_id(read_key(vault.public_key, PUBLIC))
        if os.access(vault.digest_key, os.R_OK) or not os.path.lexists(vault.digest_key):
            read_key(vault.digest_key, DIGEST)
    except ConfigurationError as error:
        yield from faults_of(KEYS, error)
        return
    can_open = "can be opened" if os.path.lexists(vault.private_key) else "can't be opened"
    yield Finding.ok(KEYS, f"originals are sealed with key {sealing_key}; here they {can_open}")
