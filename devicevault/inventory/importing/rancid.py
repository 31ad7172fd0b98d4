"""RANCID's devices: of one ``router.db``, or of a folder with a folder for each group.

Facts from ``router.db(5)``: ``name;type;state`` and comments; earlier releases had colons. What is not ``up`` is not
collected. Logins stand in ``.cloginrc``, which is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from devicevault.inventory.convert import to_enabled
from devicevault.inventory.importing import router_db
from devicevault.inventory.importing.gathered import Gathered, ImportFailed

_FILE: Final = "router.db"


def read(path: Path) -> Gathered:
    """What there is to carry over. Raises :class:`ImportFailed`."""
    gathered = Gathered(f"RANCID's {path}")
    for file in _files(path):
        # A file by itself may be a copy anywhere: then the folder's name means nothing.
        group = file.parent.name if file.name == _FILE and (path.is_dir() or file.parent.name != "etc") else ""
        lines = router_db.read_lines(file)
        for name, model, *rest in (row for row in map(_cells, lines) if len(row) > 1):
            is_enabled = to_enabled(rest[0]) if rest else True
            gathered.records.append({"name": name, "platform": model, "group": group, "enabled": is_enabled})
    gathered.notes.append("logins are not carried over: write credentials.toml by hand, from RANCID's .cloginrc")
    if any(record["platform"] == "cisco" for record in gathered.records):
        gathered.notes.append(
            "RANCID's type cisco was taken for cisco_ios; if it is a PIX or ASA, name the device's platform: cisco_asa"
        )
    return gathered


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(";" if ";" in line else ":")]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [path / _FILE] if (path / _FILE).is_file() else sorted(path.glob(f"*/{_FILE}"))
    if not files:
        raise ImportFailed(f"there is no {_FILE} in {path} or in the folders in it", "name RANCID's BASEDIR")
    return files
