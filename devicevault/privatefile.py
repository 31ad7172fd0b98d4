"""Write a file all at once, and for nobody's eyes but those it is meant for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PRIVATE_MODE: Final = 0o600


def write_private(path: Path, content: bytes, mode: int = PRIVATE_MODE) -> None:
    """Put a file with this content in place of whatever is there. Raises :class:`OSError`.

    A link is replaced, not followed; who reads meanwhile sees the old file or the new one.
    """
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, mode)
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
