"""An artifact by the first of several commands: devices of one platform know different ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from devicevault.errors import CommandRefused, CommandRejected

T = TypeVar("T")


def first_known(asks: Sequence[str], read: Callable[[str], T], note: Callable[[str], None]) -> T:
    """What ``read`` brings for the first of ``asks`` that the device knows; ``note`` is told of those it does not.

    Raises what ``read`` raises: :class:`CommandRejected` only for the last, :class:`CommandRefused` (the device knows
    the command and keeps it from this login) at once.
    """
    *others, last = asks
    for ask in others:
        try:
            return read(ask)
        except CommandRefused:
            raise
        except CommandRejected as error:
            note(f"{ask!r}: {error.problem}; trying the next")
    return read(last)
