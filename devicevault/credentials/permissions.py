"""Who may read a file of secrets."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

#: Others may do nothing; the group may read, as the package gives ``root:devicevault-worker``.
_UNSAFE: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


def exposure(path: Path) -> str:
    """What is wrong with the file's mode, or an empty string. Raises :class:`OSError` when it can't be looked at."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        return f"other users of this host can get at it (mode {mode:04o})"
    if mode & _UNSAFE:
        return f"its group can change it (mode {mode:04o})"
    return ""


def remedy(path: Path) -> str:
    """The command that closes the file."""
    return f"run: chmod u=rw,g=r,o= {path}"
