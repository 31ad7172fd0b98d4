"""A small disk that can be filled up: a tmpfs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PIECES: Final = (1024 * 1024, 64 * 1024, 4096)


@dataclass(frozen=True)
class Disk:
    """A disk mounted at ``path``."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Leave no room at all."""
        with self._ballast.open("wb", buffering=0) as ballast:
            for piece in PIECES:
                try:
                    while ballast.write(b"\0" * piece) == piece:
                        pass
                except OSError:
                    continue

    def clear(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, size_mb: int) -> Iterator[Disk]:
    """A disk of its own at ``path`` while the block lasts. Needs root."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0755", "tmpfs", str(path)], check=True)
    try:
        yield Disk(path)
    finally:
        # Lazily: what still has a file open there must not keep the disk from going.
        subprocess.run(["umount", "-l", str(path)], check=True)
