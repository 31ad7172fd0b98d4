"""The line ``systemctl status`` shows while a daemon works."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from devicevault.daemons.service import notify_ready, notify_status, notify_stopping


class LiveStatus:
    """What the daemon does, its numbers, and what is wrong with the files it was to read anew."""

    def __init__(self, numbers: Callable[[], str], more: Callable[[], Iterable[str]] = tuple) -> None:
        """``numbers`` tells those of the moment, in words; ``more`` what else goes with the line, as assignments."""
        self.numbers = numbers
        self._more = more
        #: What the daemon does: whom it is connected to, or what it waits for.
        self.doing = "starting"
        #: Why a reload was refused; empty when none was.
        self.trouble = ""
        #: What fails beside what the daemon does, and holds it up in nothing.
        self.beside: Callable[[], str] = str

    def line(self) -> str:
        """The whole line."""
        beside = f"; {told}" if (told := self.beside()) else ""
        return line(self.doing, self.numbers(), self.trouble) + beside

    def tell(self) -> None:
        notify_status(self.line(), *self._more())

    def tell_ready(self) -> None:
        """As :meth:`tell`, with ``READY=1``."""
        notify_ready(self.line(), *self._more())

    def tell_stopping(self) -> None:
        """As :meth:`tell`, with ``STOPPING=1``."""
        notify_stopping(self.line(), *self._more())


def line(doing: str, numbers: str, trouble: str) -> str:
    """The parts of a status line together."""
    refused = f"; not reloaded, the old settings stay in force: {trouble}" if trouble else ""
    return f"{doing}: {numbers}{refused}"
