"""docs/collecting.md tells every status and every error code there is."""

from __future__ import annotations

import re
from pathlib import Path

from devicevault.errors import CollectionError, ExitCode
from devicevault.messages import Status

PAGE = (Path(__file__).parents[2] / "docs" / "collecting.md").read_text()
FIRST_CELLS = set(re.findall(r"^\| `?([a-z0-9_]+)`? \|", PAGE, re.MULTILINE))


def codes(kind: type[CollectionError]) -> set[str]:
    return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))


def test_every_status_and_error_code_has_its_row() -> None:
    assert {status.value for status in Status} <= FIRST_CELLS
    assert codes(CollectionError) <= FIRST_CELLS


def test_every_exit_code_has_its_row() -> None:
    assert {str(value) for name, value in vars(ExitCode).items() if name.isupper()} <= FIRST_CELLS
