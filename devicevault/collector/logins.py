"""Refused logins, counted for each credential over all workers of a group: accounts get locked.

A wrong password in the credentials file would be offered to every device in turn. After so many refusals in a row,
without one success between them, the group stops using the credential until its entry changes or somebody resumes the
group.
"""

from __future__ import annotations

import json
import logging
from dataclasses import astuple
from typing import Any, Final, Protocol

from redis import Redis

from devicevault import names
from devicevault.collector.seal import Sealer
from devicevault.credentials import Credential
from devicevault.errors import CredentialUnusable, ServiceUnavailable
from devicevault.stream import unavailable

logger = logging.getLogger(__name__)

FINGERPRINT_CHARACTERS: Final = 16
#: A group that nobody looked after for so long begins anew.
KEEP_S: Final = 30 * 24 * 3600


class Logins(Protocol):
    """Who remembers how logins ended."""

    def check(self, credential: Credential, group: str, most: int) -> None:
        """Raises :class:`CredentialUnusable` when the group does not use this credential any more."""

    def accepted(self, credential: Credential, group: str) -> None:
        """A device took the credential."""

    def refused(self, credential: Credential, group: str, most: int) -> None:
        """A device refused the credential."""


class NoLogins:
    """Remembers nothing: for one collection without Redis."""

    def check(self, credential: Credential, group: str, most: int) -> None:
        """Every credential may be used."""

    def accepted(self, credential: Credential, group: str) -> None:
        """Forgotten at once."""

    def refused(self, credential: Credential, group: str, most: int) -> None:
        """Forgotten at once."""


class GroupLogins:
    """Refused logins in a row, in Redis. While Redis is away nothing is counted and nobody held up.

    A credential is known by its name and a keyed digest of its content: a corrected entry begins at zero, and nobody
    who reads Redis learns anything of it. Without ``vault.digest`` its name alone must do.
    """

    def __init__(self, redis: Redis, sealer: Sealer) -> None:
        self._redis = redis
        self._sealer = sealer
        #: Groups and credentials of which Redis counted no refusal when it was asked last.
        self._unrefused: set[tuple[str, str]] = set()

    def check(self, credential: Credential, group: str, most: int) -> None:
        """Raises :class:`CredentialUnusable` after ``most`` refusals in a row; 0 is for never."""
        if most and self._count(credential, group) >= most:
            raise CredentialUnusable(
                f"credential {credential.name!r} was refused {most} times in a row in group {group} and is not used "
                "any more, so that no account gets locked",
                "correct it in the worker's credentials file"
                + ("; or, when it is right: " if self._fingerprint(credential) else ", then: ")
                + f"devicevault resume {group}",
            )

    def accepted(self, credential: Credential, group: str) -> None:
        field = self._field(credential)
        if (group, field) in self._unrefused:
            return
        try:
            with unavailable(self._redis):
                self._redis.hdel(names.REFUSED_PREFIX + group, field)
        except ServiceUnavailable as error:
            logger.debug("An accepted login was not counted: %s", error)

    def refused(self, credential: Credential, group: str, most: int) -> None:
        key, field = names.REFUSED_PREFIX + group, self._field(credential)
        self._unrefused.discard((group, field))
        try:
            with unavailable(self._redis), self._redis.pipeline(transaction=False) as pipeline:
                pipeline.hincrby(key, field, 1)
                pipeline.expire(key, KEEP_S)
                count: Any = pipeline.execute()[0]
        except ServiceUnavailable as error:
            logger.warning("A refused login was not counted: %s", error)
            return
        if count == most:
            logger.error(
                "Credential %r was refused %d times in a row in group %s, and is used there no more; correct it, or: "
                "devicevault resume %s",
                credential.name,
                count,
                group,
                group,
                extra={"group": group},
            )

    def _count(self, credential: Credential, group: str) -> int:
        field = self._field(credential)
        try:
            with unavailable(self._redis):
                count: Any = self._redis.hget(names.REFUSED_PREFIX + group, field)
        except ServiceUnavailable as error:
            logger.debug("Refused logins are not known: %s", error)
            return 0
        (self._unrefused.discard if count else self._unrefused.add)((group, field))
        return int(count or 0)

    def _field(self, credential: Credential) -> str:
        return f"{credential.name} {self._fingerprint(credential)}"

    def _fingerprint(self, credential: Credential) -> str:
        digest = self._sealer.keyed_digest(json.dumps(astuple(credential)))
        return digest.rpartition(":")[2][:FINGERPRINT_CHARACTERS]
