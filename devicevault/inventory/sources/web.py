"""A list of devices at a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from devicevault.inventory.sources.http import Access
from devicevault.inventory.sources.table import SourceTable
from devicevault.inventory.sources.text import Layout, Record


class WebTable(Layout, Access, SourceTable):
    """``kind = "http"``: JSON, YAML or CSV from a web server."""

    kind: Literal["http"]

    def ask(self, folder: Path) -> list[Record]:
        page = self.get(self.url, folder, self.timeout_s)
        return self.parse(page.body, urlsplit(self.url).path, page.media_type)
