"""Seal an original before it leaves the worker; open it where the vault's private key is.

The worker needs no secret to seal: whoever breaks into it can't open what it sealed before. For one recipient the
original is in a sealed box. For several it is encrypted with a key of its own, and that key is in a sealed box for each
of them, in the order of their ids in ``key_id``, before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.utils import random

from devicevault import vault_keys
from devicevault.compression import CompressionError, compress, decompress
from devicevault.errors import ConfigurationError, DeviceVaultError, Fault
from devicevault.settings import Settings
from devicevault.vault_keys import DIGEST, PLAIN, PRIVATE, PUBLIC

#: Bytes an opened original may have: a few kilobytes of a forged one must not fill the memory.
OPENED_MAX_BYTES: Final = 1 << 30
#: A key in a sealed box: the box adds the sender's public key and a tag.
WRAPPED_BYTES: Final = 48 + SecretBox.KEY_SIZE


class Sealer:
    """Seals originals and takes their keyed digests. Thread-safe."""

    def __init__(
        self, public_keys: Sequence[bytes], digest_key: bytes | None, public_key_path: Path | None = None
    ) -> None:
        """Without public keys originals stay unsealed; without a digest key there are no keyed digests.

        Where ``public_key_path`` is given, keys that are put there later seal from then on.
        """
        self._path = public_key_path
        self._stamp = vault_keys.stamp_of(public_key_path) if public_key_path else None
        self._recipients = tuple(public_keys)
        self._digest_key = digest_key

    @classmethod
    def from_settings(cls, settings: Settings) -> Sealer:
        """Raises :class:`ConfigurationError` when a key that is needed is missing or wrong."""
        vault = settings.vault
        if vault.originals == "plain":
            digest_key = vault_keys.read_key(vault.digest_key, DIGEST) if os.path.lexists(vault.digest_key) else None
            return cls((), digest_key)
        keys: list[list[bytes]] = []
        faults: list[Fault] = []
        for path, kind in ((vault.public_key, PUBLIC), (vault.digest_key, DIGEST)):
            try:
                keys.append(vault_keys.read_keys(path, kind))
            except ConfigurationError as error:
                faults.extend(error.faults)
        if faults:
            raise ConfigurationError(faults)
        public_keys, (digest_key,) = keys
        return cls(public_keys, digest_key, vault.public_key)

    @property
    def key_id(self) -> str:
        """Names the keys that open what is sealed now."""
        self._renew()
        return vault_keys.sealing_key_id(self._recipients) if self._recipients else PLAIN

    def seal(self, original: bytes) -> tuple[bytes, str]:
        """The original, compressed and sealed, and the ``key_id`` that tells how to open it."""
        self._renew()
        recipients = self._recipients
        compressed = compress(original)
        if not recipients:
            return compressed, PLAIN
        return _sealed(compressed, recipients), vault_keys.sealing_key_id(recipients)

    def _renew(self) -> None:
        if self._path is None or (stamp := vault_keys.stamp_of(self._path)) == self._stamp:
            return
        with contextlib.suppress(ConfigurationError):  # a file that is wrong changes nothing
            self._recipients = tuple(vault_keys.read_keys(self._path, PUBLIC))
            self._stamp = stamp

    def keyed_digest(self, text: str, basis: str = "") -> str:
        """``hmac-sha256:HEX`` of a text, or an empty string without a digest key.

        With a ``basis`` it is ``hmac-sha256:BASIS:HEX``: only digests of one basis can be compared.
        """
        return self.keyed_digest_of(text.encode("utf-8", "surrogatepass"), basis)

    def keyed_digest_of(self, content: bytes, basis: str = "") -> str:
        """As :meth:`keyed_digest`, of bytes."""
        if self._digest_key is None:
            return ""
        digest = hmac.digest(self._digest_key, content, hashlib.sha256).hex()
        return ":".join(filter(None, ("hmac-sha256", basis, digest)))


class Opener:
    """Opens what workers sealed, where ``vault.key`` is."""

    def __init__(self, private_key_path: Path) -> None:
        self._path = private_key_path
        self._cached: dict[str, PrivateKey] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Opener:
        return cls(settings.vault.private_key)

    def open(self, sealed: bytes, key_id: str) -> bytes:
        """The original as the device sent it.

        Raises :class:`ConfigurationError` when ``vault.key`` is missing or another key sealed it, and
        :class:`DeviceVaultError` when what was sealed is damaged.
        """
        return _decompressed(sealed if key_id == PLAIN else self._unsealed(sealed, key_id))

    def can_open(self, key_id: str) -> bool:
        """Whether a key for this is here. Raises :class:`ConfigurationError` for a ``vault.key`` that can't be used."""
        return key_id == PLAIN or not self._keys().keys().isdisjoint(vault_keys.ids_in(key_id))

    def _keys(self) -> dict[str, PrivateKey]:
        if self._cached is None:
            keys = map(PrivateKey, vault_keys.read_keys(self._path, PRIVATE))
            self._cached = {vault_keys.key_id(bytes(key.public_key)): key for key in keys}
        return self._cached

    def _unsealed(self, sealed: bytes, key_id: str) -> bytes:
        own = self._keys()
        recipients = vault_keys.ids_in(key_id)
        index = next((index for index, recipient in enumerate(recipients) if recipient in own), None)
        if index is None:
            problem = f"this original was sealed with key {key_id}, but here is key {', '.join(own)}"
            raise ConfigurationError(Fault(str(self._path), problem, "name that key's file"))
        try:
            return _unsealed(sealed, own[recipients[index]], index, len(recipients))
        except (CryptoError, ValueError):
            raise _damaged() from None


def _sealed(compressed: bytes, recipients: Sequence[bytes]) -> bytes:
    boxes = [SealedBox(PublicKey(recipient)) for recipient in recipients]
    if len(boxes) == 1:
        return boxes[0].encrypt(compressed)
    key = random(SecretBox.KEY_SIZE)
    return b"".join([*(box.encrypt(key) for box in boxes), SecretBox(key).encrypt(compressed)])


def _unsealed(sealed: bytes, private_key: PrivateKey, index: int, recipients: int) -> bytes:
    """Raises :class:`CryptoError` or :class:`ValueError` for what is damaged."""
    if recipients == 1:
        return SealedBox(private_key).decrypt(sealed)
    wrapped = sealed[index * WRAPPED_BYTES : (index + 1) * WRAPPED_BYTES]
    return SecretBox(SealedBox(private_key).decrypt(wrapped)).decrypt(sealed[recipients * WRAPPED_BYTES :])


def _decompressed(compressed: bytes) -> bytes:
    try:
        return decompress(compressed, OPENED_MAX_BYTES)
    except CompressionError:
        raise _damaged() from None


def _damaged() -> DeviceVaultError:
    return DeviceVaultError("this original is damaged", "show an earlier one, or collect the device again")
