"""A list of devices in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.table import FilledText, SourceTable
from devicevault.inventory.sources.text import Layout, Record


class FileTable(Layout, SourceTable):
    """``kind = "file"``: JSON, YAML or CSV in a file that some other program writes."""

    kind: Literal["file"]
    path: FilledText

    def ask(self, folder: Path) -> list[Record]:
        return self.parse(read_file(folder / self.path), self.path)


def read_file(path: Path) -> bytes:
    """The file's content. Raises :class:`SourceFailed`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceFailed(f"{path} can't be read: {error.strerror}") from None
