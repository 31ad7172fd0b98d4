"""Change who can open originals: a new key for the vault, further recipients, and keys that are needed no more.

Every file is replaced as a whole, and ``vault.key`` before ``vault.pub``: whatever is sealed can always be opened.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from nacl.public import PrivateKey

from devicevault.errors import ConfigurationError, Fault, UsageError
from devicevault.settings import VaultSettings
from devicevault.vault_keys import PRIVATE, PUBLIC, RETIRED, KeyKind, key_id, read_key, read_keys, read_retired


def rotate(vault: VaultSettings) -> str:
    """Give the vault a new key, and return its id; the old one still opens what was sealed with it, and seals no more.

    Raises :class:`ConfigurationError` where the vault's keys are not both here.
    """
    private_keys = read_keys(vault.private_key, PRIVATE)
    own, *others = read_keys(vault.public_key, PUBLIC)
    return _begin_anew(vault, private_keys, others, [own, *read_retired(vault.public_key)])


def replace_lost(vault: VaultSettings) -> str:
    """Give a vault whose private key is lost a new one, and return its id; what the lost one sealed stays closed.

    Results that are still sealed with it are not taken any more. The digest's secret stays: with another one every
    device would look changed. Raises :class:`UsageError` where the private key is here.
    """
    if os.path.lexists(vault.private_key):
        raise UsageError(f"{vault.private_key} is here, not lost", "leave --lost out")
    _, *others = read_keys(vault.public_key, PUBLIC)
    return _begin_anew(vault, [], others, [])


def _begin_anew(
    vault: VaultSettings, private_keys: Sequence[bytes], others: Sequence[bytes], retired: Sequence[bytes]
) -> str:
    new = PrivateKey.generate()
    _replace(vault.private_key, PRIVATE, [bytes(new), *private_keys])
    _replace(vault.public_key, PUBLIC, [bytes(new.public_key), *others], retired)
    return key_id(bytes(new.public_key))


def add_recipient(vault: VaultSettings, path: Path) -> str:
    """Let the holder of another key open what is sealed from now on. ``path`` is its public key's file.

    Returns its id. Raises :class:`ConfigurationError`, and :class:`UsageError` for a key that is one already.
    """
    new = read_key(path, PUBLIC)
    public_keys, retired = read_keys(vault.public_key, PUBLIC), read_retired(vault.public_key)
    if new in public_keys or new in retired:
        raise UsageError(f"{path}: key {key_id(new)} is in {vault.public_key} already")
    _replace(vault.public_key, PUBLIC, [*public_keys, new], retired)
    return key_id(new)


def remove_recipient(vault: VaultSettings, wanted: str) -> None:
    """Seal no more for a further recipient; what was sealed for him he can still open.

    Raises :class:`ConfigurationError`, and :class:`UsageError` for a key that is none.
    """
    own, *others = read_keys(vault.public_key, PUBLIC)
    left = [key for key in others if key_id(key) != wanted]
    if len(left) == len(others):
        fix = "give the vault a new key with: devicevault keys rotate" if key_id(own) == wanted else ""
        raise UsageError(f"{wanted} is no further recipient's key", fix or "see: devicevault keys show")
    _replace(vault.public_key, PUBLIC, [own, *left], read_retired(vault.public_key))


def forget(vault: VaultSettings, wanted: str) -> None:
    """Destroy a retired key: what is sealed with it alone can never be opened again.

    Raises :class:`ConfigurationError`, and :class:`UsageError` for a key that is not retired.
    """
    public_keys, retired = read_keys(vault.public_key, PUBLIC), read_retired(vault.public_key)
    if wanted not in map(key_id, retired):
        raise UsageError(f"{wanted} is no retired key", "see: devicevault keys show")
    private_keys = [key for key in read_keys(vault.private_key, PRIVATE) if id_of(key) != wanted]
    _replace(vault.public_key, PUBLIC, public_keys, [key for key in retired if key_id(key) != wanted])
    _replace(vault.private_key, PRIVATE, private_keys)


def create_pair(private_path: Path) -> tuple[Path, str]:
    """Make a key for a further recipient, away from any vault; its public half goes beside it, as ``.pub``.

    Returns the public file and the key's id. Raises :class:`UsageError` where a file is there already.
    """
    public_path = private_path.with_suffix(".pub")
    key = PrivateKey.generate()
    if private_path.suffix == ".pub":
        raise UsageError(f"{private_path} is the public half's name", "name the private one, such as safe.key")
    for path, kind, raw in ((private_path, PRIVATE, bytes(key)), (public_path, PUBLIC, bytes(key.public_key))):
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already", "name another file")
        _replace(path, kind, [raw])
    return public_path, key_id(bytes(key.public_key))


def id_of(private_key: bytes) -> str:
    """The id of a private key: that of its public half."""
    return key_id(bytes(PrivateKey(private_key).public_key))


def _replace(path: Path, kind: KeyKind, keys: Sequence[bytes], retired: Sequence[bytes] = ()) -> None:
    """Write a key file anew, all of it or nothing; owner and mode stay those of the old one."""
    lines = [f"{kind.label} {base64.b64encode(key).decode()}\n" for key in keys]
    lines += [f"{RETIRED} {base64.b64encode(key).decode()}\n" for key in retired]
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"# DeviceVault: {kind.purpose}.\n" + "".join(lines))
            file.flush()
            _as_before(descriptor, path, kind)
            os.fsync(descriptor)
        draft.rename(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        fix = "run as root, and see that the folder exists and is not full"
        raise ConfigurationError(Fault(str(path), f"can't be written: {error.strerror}", fix)) from None


def _as_before(descriptor: int, path: Path, kind: KeyKind) -> None:
    if not path.exists():
        os.fchmod(descriptor, kind.mode)
        return
    before = path.stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, before.st_mode & 0o777)
