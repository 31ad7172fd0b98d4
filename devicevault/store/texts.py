"""Distinct texts: each is stored once, whatever device it came from."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from devicevault.compression import decompress
from devicevault.messages import Artifact
from devicevault.store.models import DeviceConfig
from devicevault.store.rows import insert_missing, one_of

_CHOSEN: Final = one_of(DeviceConfig.digest)
_TEXTS: Final[Select[str, bytes]] = select(DeviceConfig.digest, DeviceConfig.compressed).where(_CHOSEN)
#: Held until the transaction ends: pruning would take a text that nothing else has.
_IDS: Final[Select[str, int]] = (
    select(DeviceConfig.digest, DeviceConfig.id)
    .where(_CHOSEN)
    .order_by(DeviceConfig.digest)
    .with_for_update(read=True, key_share=True)
)

#: A text of this size is not made twice while its result is written.
AT_HAND_BYTES: Final = 1024 * 1024


def text_of(config: DeviceConfig) -> str:
    """The normalised text."""
    return decompress(config.compressed).decode()


class Texts:
    """The texts a transaction reads and adds, by their digests."""

    def __init__(self, session: Session) -> None:
        #: Of the texts that were added and written.
        self.ids: dict[str, int] = {}
        self._session = session
        self._read: dict[str, bytes] = {}
        self._added: dict[str, Artifact] = {}
        #: Short ones that were proven last.
        self._at_hand: dict[str, str] = {}

    def read(self, digests: Iterable[str]) -> None:
        """Read stored texts at once that :meth:`text` would read one by one."""
        wanted = sorted(set(digests) - self._added.keys() - self._read.keys())
        if wanted:
            self._read.update(self._session.connection().execute(_TEXTS, {"keys": wanted}).all())

    def text(self, digest: str) -> str:
        """A text that is stored or was added."""
        if digest in self._at_hand:
            return self._at_hand[digest]
        if digest in self._added:
            return self._added[digest].text
        self.read([digest])
        return decompress(self._read[digest]).decode()

    def prove(self, artifacts: Iterable[Artifact]) -> None:
        """See that these are the texts their digests tell of, and have short ones at hand until the next are proven.

        Raises :class:`~devicevault.errors.MalformedMessage` where one is not.
        """
        self._at_hand.clear()
        for artifact in artifacts:
            text = artifact.text
            if artifact.size <= AT_HAND_BYTES:
                self._at_hand[artifact.digest] = text

    def add(self, artifact: Artifact) -> None:
        """Let :meth:`write` store the text of this artifact, which is proven, unless a device had it before."""
        self._added.setdefault(artifact.digest, artifact)

    def write(self) -> None:
        """Make sure that every text that was added is stored, and tell their ``ids``."""
        self._find(self._added)
        missing = sorted(self._added.keys() - self.ids.keys())
        if missing:
            insert_missing(self._session, DeviceConfig, map(self._row, missing), "digest")
            self._find(missing)

    def _find(self, digests: Collection[str]) -> None:
        if digests:
            self.ids.update(self._session.connection().execute(_IDS, {"keys": sorted(digests)}).all())

    def _row(self, digest: str) -> dict[str, object]:
        artifact = self._added[digest]
        return {"digest": digest, "size": artifact.size, "compressed": artifact.compressed}
