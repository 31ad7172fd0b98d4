"""A person's browser on a machine: Chromium of this host, in the machine's network."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from typing import Final

from tests.conftest import missing
from tests.system.machine import Machine

CHROMIUM: Final = (
    "chromium",
    "--headless",
    # The tests are root's; what the browser shows is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # As long as the page's own scripts have something to do, and no more than 10 s of its own clock.
    "--virtual-time-budget=10000",
    "--dump-dom",
)
SHOWN_WITHIN_S: Final = 60


def see(machine: Machine, url: str) -> str:
    """The words of a page once its scripts have run, as a person reads them."""
    if shutil.which("chromium") is None:
        missing("chromium is not installed; apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="devicevault-browser-", ignore_cleanup_errors=True) as profile:
        shown = subprocess.run(
            ["nsenter", "--net", f"--target={machine.leader}", "--", *CHROMIUM, f"--user-data-dir={profile}", url],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SHOWN_WITHIN_S,
            check=True,
        )
    page = _Words()
    page.feed(shown.stdout)
    return " ".join(" ".join(page.words).split())


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)
