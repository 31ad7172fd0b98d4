"""Texts that are proven to be what their digests tell of, before anything is kept of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Select, select

from devicevault.compression import decompress
from devicevault.errors import MalformedMessage
from devicevault.messages import Artifact, CollectResult, Status
from devicevault.store.difference import lines_in
from devicevault.store.engine import Store
from devicevault.store.models import DeviceConfig
from devicevault.store.rows import one_of

_STORED: Final[Select[str]] = select(DeviceConfig.digest).where(one_of(DeviceConfig.digest))


class Proofs:
    """The artifacts of a batch that were proven, each digest once."""

    def __init__(self) -> None:
        #: Digests no text was stored for when these proofs began.
        self.new: frozenset[str] = frozenset()
        self._artifacts: dict[str, Artifact] = {}
        self._lines: dict[str, int] = {}

    def prove(self, artifact: Artifact) -> str:
        """The text. Raises :class:`~devicevault.errors.MalformedMessage` where it is another than its digest tells."""
        text = artifact.text
        self._artifacts.setdefault(artifact.digest, artifact)
        self._lines[artifact.digest] = lines_in(text)
        return text

    def has(self, artifact: Artifact) -> bool:
        """Whether this very text was proven, for whichever artifact: another of the same digest may hold anything."""
        proven = self._artifacts.get(artifact.digest)
        return proven is not None and (proven.size, proven.compressed) == (artifact.size, artifact.compressed)

    def text(self, digest: str) -> str | None:
        """The text of what was proven; ``None`` where nothing of this digest was."""
        artifact = self._artifacts.get(digest)
        return decompress(artifact.compressed).decode() if artifact else None

    def lines(self, digest: str) -> int | None:
        """How many lines it has."""
        return self._lines.get(digest)


def prove_new(store: Store, results: Iterable[CollectResult]) -> Proofs:
    """Prove the texts that are not stored yet, while no other writer waits for it.

    What can't be proven is left for its result to be told of. Raises
    :class:`~devicevault.errors.ServiceUnavailable`.
    """
    proofs = Proofs()
    artifacts: dict[str, Artifact] = {}
    for result in results:
        if result.status == Status.SUCCESS:
            for artifact in result.artifacts:
                artifacts.setdefault(artifact.digest, artifact)
    if not artifacts:
        return proofs
    with store.reading() as session:
        stored = set(session.connection().execute(_STORED, {"keys": list(artifacts)}).scalars())
    proofs.new = frozenset(artifacts.keys() - stored)
    for digest in proofs.new:
        with contextlib.suppress(MalformedMessage):
            proofs.prove(artifacts[digest])
    return proofs
