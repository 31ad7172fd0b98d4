"""What a session needs of a connection, whatever carries it: SSH, or a recording."""

from __future__ import annotations

from typing import Protocol

from devicevault.collector.deadline import Limit


class Line(Protocol):
    """A terminal line to a device."""

    limit: Limit
    #: What Enter sends where the page does not say.
    RETURN: str

    @property
    def banner(self) -> str:
        """What the other side calls itself, such as its SSH version string; empty where it does not say."""

    def receive(self, wait_s: float) -> str:
        """What the device sends next, as Latin-1; empty when it is silent for ``wait_s``.

        With a ``wait_s`` of 0 it is what has come already, nearly at once.
        Raises a :class:`~devicevault.errors.CollectionError` when the line is dead or the session's time is over.
        """

    def send(self, text: str) -> None:
        """Types ``text``. Raises as :meth:`receive` does."""

    def disconnect(self) -> None:
        """Closes the line."""
