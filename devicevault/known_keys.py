"""Which originals a vault may keep: those it can open."""

from __future__ import annotations

import contextlib
from pathlib import Path

from devicevault.errors import ConfigurationError
from devicevault.vault_keys import PLAIN, PUBLIC, ids_in, key_id, read_key, read_retired, stamp_of


class KnownKeys:
    """The key ids of originals this vault can open, and so may keep. Thread-safe.

    A key that is unknown may have been made a moment ago: ``vault.pub`` is looked at again where it changed.
    """

    def __init__(self, public_key_path: Path) -> None:
        """Raises :class:`ConfigurationError` for a file that is there and can't be used."""
        self._path = public_key_path
        self._stamp = stamp_of(public_key_path)
        self._ids = self._read()

    def __contains__(self, key_id: object) -> bool:
        if self._knows(key_id):
            return True
        stamp = stamp_of(self._path)
        if stamp != self._stamp:
            with contextlib.suppress(ConfigurationError):  # a file that is wrong takes no key away
                self._ids = self._read()
                self._stamp = stamp
        return self._knows(key_id)

    def _knows(self, key_id: object) -> bool:
        return isinstance(key_id, str) and not self._ids.isdisjoint(ids_in(key_id))

    def _read(self) -> frozenset[str]:
        if stamp_of(self._path) is None:
            return frozenset({PLAIN})
        own = [read_key(self._path, PUBLIC), *read_retired(self._path)]
        return frozenset({PLAIN, *map(key_id, own)})
