"""The vault's three keys: files, formats, permissions.

``vault.pub`` seals originals and ``vault.key`` opens them; ``vault.digest`` is the secret of the keyed digest, so that
a stolen digest can't be used to guess passwords. A key is one line, the key's kind and its base64, with comments above
that say what it is for.

``vault.pub`` may hold several lines: the vault's own key first, then those of further recipients, each of whom can open
every original by himself; and keys that were retired, which seal no more. ``vault.key`` then holds the retired keys'
other halves, after its own.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import grp
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devicevault.errors import ConfigurationError, Fault
from devicevault.settings import VaultSettings
from devicevault.tomlfile import read_text

KEY_BYTES: Final = 32
#: The ``key_id`` of an original that is not sealed.
PLAIN: Final = "plain"
#: Between the ids of several recipients in a ``key_id``.
ID_SEPARATOR: Final = "+"
#: A public key that seals no more; what was sealed with it is still accepted.
RETIRED: Final = "devicevault-retired-1"
#: Who may read ``vault.digest`` besides its owner, where this group exists.
DAEMONS_GROUP: Final = "devicevault"


@dataclass(frozen=True)
class KeyKind:
    """One of the three keys: the word its line begins with, its file's mode, and what it is for."""

    label: str
    mode: int
    purpose: str
    fix: str
    #: Whether a file may hold several.
    may_be_many: bool = False

    @property
    def is_secret(self) -> bool:
        return not self.mode & stat.S_IROTH


PUBLIC: Final = KeyKind(
    "devicevault-public-1",
    0o644,
    "seals originals; every worker has a copy of it",
    "if there was one, copy it back from another host of this vault or from a backup; otherwise make the keys once, on "
    "the vault's host, with `devicevault keys create`, and copy vault.pub and vault.digest to each worker; or set "
    'vault.originals = "plain" to store originals unsealed',
    may_be_many=True,
)
PRIVATE: Final = KeyKind(
    "devicevault-private-1",
    0o600,
    "opens originals; it never leaves the vault's host, save for your own copy in a safe",
    "originals can be opened only on the vault's host, where `devicevault keys create` put vault.key, or with your "
    "copy of it; once every copy is lost nobody can open them, and `devicevault keys rotate --lost` begins anew",
    may_be_many=True,
)
DIGEST: Final = KeyKind(
    "devicevault-digest-1", 0o640, "secret of the keyed digest; every worker has a copy of it", PUBLIC.fix
)


def read_key(path: Path, kind: KeyKind) -> bytes:
    """The 32 bytes of the first key in a file. Raises :class:`ConfigurationError` as :func:`read_keys` does."""
    return read_keys(path, kind)[0]


def read_keys(path: Path, kind: KeyKind) -> list[bytes]:
    """The keys in a file, 32 bytes each, without retired ones.

    Raises :class:`ConfigurationError` when the file is missing, open to others or wrong.
    """
    return [key for label, key in _labelled_keys(path, kind) if label == kind.label]


def read_retired(path: Path) -> list[bytes]:
    """The retired keys in ``vault.pub``, the last one first. Raises :class:`ConfigurationError`."""
    return [key for label, key in _labelled_keys(path, PUBLIC) if label == RETIRED]


def _labelled_keys(path: Path, kind: KeyKind) -> list[tuple[str, bytes]]:
    mode = _mode_of(path)
    if mode is None:
        raise ConfigurationError(Fault(str(path), "the key is missing", kind.fix))
    text = read_text(path)
    if kind.is_secret and mode & stat.S_IRWXO:
        raise ConfigurationError(Fault(str(path), f"others may use this secret (mode {mode:04o})", f"chmod o= {path}"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    keys = [_parsed(line) for line in lines] or [("", b"")]
    labels = (kind.label, RETIRED) if kind is PUBLIC else (kind.label,)
    wrong = [label for label, key in keys if label not in labels or len(key) != KEY_BYTES]
    own = sum(label == kind.label for label, _ in keys)
    if wrong or not own or (own > 1 and not kind.may_be_many):
        other = wrong[0] if wrong and wrong[0] not in labels else ""
        problem = f"is no {kind.label} key" + (f" but {other}" if other else "")
        raise ConfigurationError(Fault(str(path), problem, f"it {kind.purpose}; copy it again from the vault's host"))
    return keys


def _parsed(line: str) -> tuple[str, bytes]:
    """A line's kind and its key; no kind for a line that is none."""
    try:
        label, encoded = line.split()
        return label, base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return "", b""


def _mode_of(path: Path) -> int | None:
    """The file's permissions, or ``None`` when there is no such file."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return 0  # this user may not look: whoever reads the file says so


def key_id(public_key: bytes) -> str:
    """The name by which a sealed original tells the key it was sealed with."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def sealing_key_id(public_keys: Sequence[bytes]) -> str:
    """The ``key_id`` of what is sealed for these recipients."""
    return ID_SEPARATOR.join(map(key_id, public_keys))


def ids_in(combined: str) -> list[str]:
    """The keys a ``key_id`` names: each of them opens the original."""
    return combined.split(ID_SEPARATOR)


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; ``None`` where there is none to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def create_keys(vault: VaultSettings) -> str:
    """Make all three keys and return the ``key_id``. Raises :class:`ConfigurationError` when one of them is there."""
    from nacl.public import PrivateKey

    files = (vault.private_key, vault.public_key, vault.digest_key)
    there = [path for path in files if os.path.lexists(path)]
    if there:
        missing = " and ".join(path.name for path in files if path not in there)
        back = f"copy {missing} back, from a backup or from another host that has it; " if missing else ""
        fix = f"{back}nothing sealed so far can be opened without the old vault.key; to start anew, move all away"
        raise ConfigurationError(Fault(", ".join(map(str, there)), "already there", fix))
    private = PrivateKey.generate()
    public_bytes = bytes(private.public_key)
    with _all_or_none() as written:
        for path, kind, key in (
            (vault.private_key, PRIVATE, bytes(private)),
            (vault.public_key, PUBLIC, public_bytes),
            (vault.digest_key, DIGEST, secrets.token_bytes(KEY_BYTES)),
        ):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written.append(path)
            _write_key(descriptor, kind, key)
        _give_to_daemons(vault.digest_key)
    return key_id(public_bytes)


def can_seal(vault: VaultSettings) -> bool:
    """Whether the keys that seal are here, or none is needed.

    Raises :class:`ConfigurationError` for keys that are there and can't be used, alone or together.
    """
    if vault.originals == "plain":
        return True
    if not any(os.path.lexists(path) for path in (vault.private_key, vault.public_key, vault.digest_key)):
        return False
    read_key(vault.public_key, PUBLIC)
    read_key(vault.digest_key, DIGEST)
    return True


@contextlib.contextmanager
def _all_or_none() -> Iterator[list[Path]]:
    """Remove the files written so far when one fails; never one that somebody else made in the meantime."""
    written: list[Path] = []
    try:
        yield written
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        problem = f"the keys can't be written: {error.strerror}"
        fix = "run as root, and see that the folder exists and is not full"
        raise ConfigurationError(Fault(str(error.filename or written[-1]), problem, fix)) from None


def _write_key(descriptor: int, kind: KeyKind, key: bytes) -> None:
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"# DeviceVault: {kind.purpose}.\n{kind.label} {base64.b64encode(key).decode()}\n")
        file.flush()
        os.fchmod(descriptor, kind.mode)
        os.fsync(descriptor)


def _give_to_daemons(path: Path) -> None:
    if os.geteuid() != 0:
        return
    with contextlib.suppress(KeyError):  # no package installed here, so no such group
        grp.getgrnam(DAEMONS_GROUP)
        shutil.chown(path, group=DAEMONS_GROUP)
