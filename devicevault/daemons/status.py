"""The line ``systemctl status`` shows while a daemon works."""

from __future__ import annotations

from collections.abc import Callable

from devicevault.daemons.service import notify_ready, notify_status


class LiveStatus:
    """What the daemon does, its numbers, and what is wrong with the files it was to read anew."""

    def __init__(self, numbers: Callable[[], str]) -> None:
        """``numbers`` tells those of the moment, in words."""
        self.numbers = numbers
        #: What the daemon does: whom it is connected to, or what it waits for.
        self.doing = "starting"
        #: Why a reload was refused; empty when none was.
        self.trouble = ""
        #: What fails beside what the daemon does, and holds it up in nothing.
        self.beside: Callable[[], str] = str

    def line(self) -> str:
        """The whole line."""
        refused = f"; not reloaded, the old settings stay in force: {self.trouble}" if self.trouble else ""
        beside = f"; {told}" if (told := self.beside()) else ""
        return f"{self.doing}: {self.numbers()}{refused}{beside}"

    def tell(self) -> None:
        notify_status(self.line())

    def tell_ready(self) -> None:
        """As :meth:`tell`, with ``READY=1``."""
        notify_ready(self.line())
