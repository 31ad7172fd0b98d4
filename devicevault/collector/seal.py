"""Seal an original before it leaves the worker; open it where the vault's private key is.

The worker needs no secret to seal: whoever breaks into it can't open what it sealed before.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import zlib
from pathlib import Path
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from devicevault import vault_keys
from devicevault.errors import ConfigurationError, DeviceVaultError, Fault
from devicevault.settings import Settings
from devicevault.vault_keys import DIGEST, PLAIN, PRIVATE, PUBLIC

#: Bytes an opened original may have: a few kilobytes of a forged one must not fill the memory.
OPENED_MAX_BYTES: Final = 1 << 30


class Sealer:
    """Seals originals and takes their keyed digests. Thread-safe."""

    def __init__(self, public_key: bytes | None, digest_key: bytes | None) -> None:
        """Without a public key originals stay unsealed; without a digest key there are no keyed digests."""
        self._box = SealedBox(PublicKey(public_key)) if public_key else None
        self._digest_key = digest_key
        self.key_id = vault_keys.key_id(public_key) if public_key else PLAIN

    @classmethod
    def from_settings(cls, settings: Settings) -> Sealer:
        """Raises :class:`ConfigurationError` when a key that is needed is missing or wrong."""
        vault = settings.vault
        if vault.originals == "plain":
            digest_key = vault_keys.read_key(vault.digest_key, DIGEST) if os.path.lexists(vault.digest_key) else None
            return cls(None, digest_key)
        keys: list[bytes] = []
        faults: list[Fault] = []
        for path, kind in ((vault.public_key, PUBLIC), (vault.digest_key, DIGEST)):
            try:
                keys.append(vault_keys.read_key(path, kind))
            except ConfigurationError as error:
                faults.extend(error.faults)
        if faults:
            raise ConfigurationError(faults)
        public_key, digest_key = keys
        return cls(public_key, digest_key)

    def seal(self, original: bytes) -> tuple[bytes, str]:
        """The original, compressed and sealed, and the ``key_id`` that tells how to open it."""
        compressed = zlib.compress(original)
        return (self._box.encrypt(compressed) if self._box else compressed), self.key_id

    def keyed_digest(self, text: str, basis: str = "") -> str:
        """``hmac-sha256:HEX`` of a text, or an empty string without a digest key.

        With a ``basis`` it is ``hmac-sha256:BASIS:HEX``: only digests of one basis can be compared.
        """
        if self._digest_key is None:
            return ""
        digest = hmac.digest(self._digest_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
        return ":".join(filter(None, ("hmac-sha256", basis, digest)))


class Opener:
    """Opens what workers sealed, where ``vault.key`` is."""

    def __init__(self, private_key_path: Path) -> None:
        self._path = private_key_path

    @classmethod
    def from_settings(cls, settings: Settings) -> Opener:
        return cls(settings.vault.private_key)

    def open(self, sealed: bytes, key_id: str) -> bytes:
        """The original as the device sent it.

        Raises :class:`ConfigurationError` when ``vault.key`` is missing or another key sealed it, and
        :class:`DeviceVaultError` when what was sealed is damaged.
        """
        return _decompressed(sealed if key_id == PLAIN else self._unsealed(sealed, key_id))

    def _unsealed(self, sealed: bytes, key_id: str) -> bytes:
        private_key = PrivateKey(vault_keys.read_key(self._path, PRIVATE))
        own_id = vault_keys.key_id(bytes(private_key.public_key))
        if key_id != own_id:
            problem = f"this original was sealed with key {key_id}, but this is key {own_id}"
            raise ConfigurationError(Fault(str(self._path), problem, "set vault.private_key to that key's file"))
        try:
            return SealedBox(private_key).decrypt(sealed)
        except (CryptoError, ValueError):
            raise _damaged() from None


def _decompressed(compressed: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        original = stream.decompress(compressed, OPENED_MAX_BYTES)
    except zlib.error:
        raise _damaged() from None
    if not stream.eof:
        raise _damaged()
    return original


def _damaged() -> DeviceVaultError:
    return DeviceVaultError("this original is damaged", "show an earlier one, or collect the device again")
