"""Recorded sessions of real devices, kept beside the repository; tests that need them skip where they are not."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml

SHARED: Final = Path(__file__).parents[1].parent / "shared"
FOLDER: Final = SHARED / "transcripts"
SERVER: Final = SHARED / "replay" / "replay.py"

#: The recordings' own names of models, and ours.
PLATFORMS: Final = {
    "aoscx": "aruba_aoscx",
    "asa": "cisco_asa",
    "cumulus": "nvidia_nvue_yaml",
    "fortigate": "fortinet_fortios",
    "h3c": "hp_comware",
    "ios": "cisco_ios",
    "junos": "juniper_junos",
    "netgear": "netgear_smart",
    "nxos": "cisco_nxos",
    "pfsense": "pfsense",
    "routeros": "mikrotik_routeros",
    "tnsr": "tnsr",
    "vyos": "vyos",
}

needs_transcripts = pytest.mark.skipif(
    not (FOLDER.is_dir() and SERVER.is_file()), reason=f"the recorded sessions are not beside the repository ({SHARED})"
)


@dataclass(frozen=True)
class Transcript:
    """One recorded device."""

    name: str
    platform: str
    answers: dict[str, bytes]
    #: Texts that must not be in what is shown, and that must be.
    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    #: Texts that change by themselves, and texts that must still be compared.
    volatile: tuple[str, ...]
    compared: tuple[str, ...]


def transcripts() -> list[Transcript]:
    """Every recording there is; none where the folder is missing."""
    if not (FOLDER.is_dir() and SERVER.is_file()):
        return []
    replay = _replay()
    found: list[Transcript] = []
    for path in sorted(FOLDER.glob("*simulation.yaml")):
        recording = replay.Recording.load(path)
        secret = _beside(path, "secret")
        changes = _beside(path, "significant_changes")
        found.append(
            Transcript(
                name=recording.name,
                platform=PLATFORMS[recording.model],
                answers=_answers(recording.answers),
                hidden=tuple(secret.get("fail", ())),
                shown=tuple(secret.get("pass", ())),
                volatile=tuple(changes.get("fail", ())),
                compared=tuple(changes.get("pass", ())),
            )
        )
    return found


def _answers(recorded: list[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Each command's answer, with all the pages that a pager's key brings."""
    answers: dict[str, bytes] = {}
    command = ""
    for key, answer in recorded:
        if key.strip():
            command = key.decode().rstrip("\n")
            answers[command] = answer
        elif command:
            answers[command] += answer
    return answers


def _beside(path: Path, kind: str) -> dict[str, Any]:
    other = path.with_name(re.sub(r"#(?:custom_)?simulation", f"#{kind}", path.name))
    return yaml.safe_load(other.read_text()) if other.is_file() else {}


def _replay() -> ModuleType:
    specification = importlib.util.spec_from_file_location("replay", SERVER)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["replay"] = module
    specification.loader.exec_module(module)
    return module
