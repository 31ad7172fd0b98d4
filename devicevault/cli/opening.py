"""Open originals on a person's behalf, and never without a word in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devicevault.cli.collect import whoami
from devicevault.cli.console import errors, say
from devicevault.openings import record_opening

if TYPE_CHECKING:
    from devicevault.collector.seal import Opener


def opened(opener: Opener, sealed: bytes, key_id: str, *, device: str, what: str) -> bytes:
    """The original, as the device sent it; ``what`` is told to the journal first.

    Raises as :meth:`devicevault.collector.seal.Opener.open` does.
    """
    tell_opening(what, device=device, key_id=key_id)
    return opener.open(sealed, key_id)


def tell_opening(what: str, *, device: str = "", key_id: str = "") -> None:
    """Record an opening; where no journal is, say that it is recorded nowhere."""
    if not record_opening(what, by=whoami(), device=device, key_id=key_id):
        say(errors(), "this opening is recorded nowhere: there is no journal on this host", style="yellow")
