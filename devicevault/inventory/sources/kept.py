"""The last good answer of each source, kept on disk for the day the source is down."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

_VERSION: Final = 1
#: Readable for the group of operators; no secret is in it, but a map of the network is.
_FILE_MODE: Final = 0o640
#: Everybody who collects writes here, and new files stay the group's.
_FOLDER_MODE: Final = 0o2770


@dataclass
class Kept:
    """What is known of a source from earlier. Times are in seconds since 1970."""

    #: Of the declaration the answer is to.
    digest: str = ""
    answered_at: float = 0.0
    #: By name: the device's table in the inventory.
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The last time there was none to be used, if that is later; to which declaration, why, and what to do.
    failed_at: float = 0.0
    failed_digest: str = ""
    problem: str = ""
    fix: str = ""

    @property
    def is_answer(self) -> bool:
        return self.answered_at > 0


def load(folder: Path, source: str) -> Kept:
    """What is kept of a source; nothing where there is no file, or none that can be understood.

    Raises :class:`OSError` for one that is there and can't be read.
    """
    try:
        data = json.loads(_path(folder, source).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return Kept()
    if not isinstance(data, dict) or data.pop("v", None) != _VERSION or not _is_sound(data):
        return Kept()
    return Kept(**data)


def save(folder: Path, source: str, kept: Kept) -> None:
    """Put it down, whole or not at all. Raises :class:`OSError`."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(_FOLDER_MODE)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{source}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"v": _VERSION, **asdict(kept)}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(_FILE_MODE)
        Path(name).replace(_path(folder, source))
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _path(folder: Path, source: str) -> Path:
    return folder / f"{source}.json"


def _is_sound(data: dict[str, Any]) -> bool:
    kinds = {key: type(value) for key, value in asdict(Kept()).items()}
    if data.keys() != kinds.keys():
        return False
    return all(isinstance(data[key], (int, float) if kind is float else kind) for key, kind in kinds.items()) and all(
        isinstance(table, dict) for table in data["devices"].values()
    )
