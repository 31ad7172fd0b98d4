"""What the log says of sources: each trouble once in a process, and its end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from devicevault.wording import counted

logger = logging.getLogger(__name__)

#: The trouble told last, by where a source's answers are kept and by its name. A daemon asks again and again.
_told: Final[dict[tuple[Path, str], str]] = {}


def tell_trouble(folder: Path, source: str, trouble: str) -> None:
    """Warn of a trouble that was not told yet."""
    if _told.get((folder, source)) != trouble:
        _told[folder, source] = trouble
        logger.warning("inventory: sources.%s: %s", source, trouble)


def tell_end(folder: Path, source: str, devices: int, *, was_known: bool) -> None:
    """Tell that a source answers again; ``was_known`` where another process met the trouble."""
    if _told.pop((folder, source), "") or was_known:
        logger.warning("inventory: sources.%s answers again, with %s", source, counted(devices, "device"))
