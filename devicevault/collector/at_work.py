"""How many texts a process works on at once.

While a text of 100 KB is cleaned, judged, redacted and sealed, it needs a megabyte, and a hundred sessions may have
read theirs at the same moment. The interpreter works on one of them at a time anyway; a second one may use what
compression and digests leave to it.
"""

from __future__ import annotations

import threading
from typing import Final

AT_WORK: Final = threading.BoundedSemaphore(2)
