"""Encrypt with a passphrase: Argon2id makes the key, which takes a quarter of a gigabyte and most of a second."""

from __future__ import annotations

import struct
from typing import Final

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random

from devicevault.errors import UsageError

PASSPHRASE_MIN_CHARACTERS: Final = 12
_MAGIC: Final = b"DVPW1\n"
#: How often and over how many bytes the passphrase is hashed: what a file may ask for is bounded.
_COST: Final = struct.Struct(">IQ")
_COST_MAX: Final = (64, 4 << 30)


def encrypted(content: bytes, passphrase: str) -> bytes:
    """Raises :class:`UsageError` for a passphrase that is too short."""
    if len(passphrase) < PASSPHRASE_MIN_CHARACTERS:
        raise UsageError(
            f"the passphrase has fewer than {PASSPHRASE_MIN_CHARACTERS} characters",
            "take a longer one, such as five words",
        )
    cost = (argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
    salt = random(argon2id.SALTBYTES)
    return _MAGIC + _COST.pack(*cost) + salt + SecretBox(_key(passphrase, salt, *cost)).encrypt(content)


def decrypted(content: bytes, passphrase: str) -> bytes:
    """Raises :class:`UsageError` for another passphrase, or for what is damaged."""
    begin = len(_MAGIC) + _COST.size
    try:
        if not content.startswith(_MAGIC):
            raise ValueError("another kind of file")
        cost = _COST.unpack(content[len(_MAGIC) : begin])
        if any(asked > most for asked, most in zip(cost, _COST_MAX, strict=True)):
            raise ValueError("it asks for too much")
        salt, box = content[begin : begin + argon2id.SALTBYTES], content[begin + argon2id.SALTBYTES :]
        return SecretBox(_key(passphrase, salt, *cost)).decrypt(box)
    except (CryptoError, ValueError, struct.error):
        raise UsageError("this is not the passphrase, or what it opens is damaged") from None


def _key(passphrase: str, salt: bytes, operations: int, memory: int) -> bytes:
    return argon2id.kdf(SecretBox.KEY_SIZE, passphrase.encode(), salt, opslimit=operations, memlimit=memory)
