"""How many texts a process works on at once.

While a text of 100 KB is cleaned, judged, redacted and sealed, it needs a megabyte, and a hundred sessions may have
read theirs at the same moment. The interpreter works on one of them at a time anyway; a second one may use what
compression and digests leave to it.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Final

#: Bytes; a text up to this size needs next to nothing, and waits for nobody.
SHORT_BYTES: Final = 16 * 1024
#: Bytes; what is larger takes seconds. Such texts wait for each other, and nobody else for them.
LONG_BYTES: Final = 1024 * 1024

_USUAL: Final = threading.BoundedSemaphore(2)
_LONG: Final = threading.BoundedSemaphore(1)


def at_work_on(size: int) -> AbstractContextManager[object]:
    """The place at which a text of ``size`` bytes is worked on: a context, entered once there is room."""
    if size <= SHORT_BYTES:
        return nullcontext()
    return _USUAL if size <= LONG_BYTES else _LONG
