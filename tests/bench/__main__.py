"""``python -m tests.bench [PART...]``: measure DeviceVault side by side with another way to do the same.

``make bench`` runs all parts and writes their figures into docs/performance.md; ``make bench BENCH="fleet start"``
these two. ``--quick`` is a trial of the measuring itself, in small sizes, and writes nothing into the page.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.bench.figures import Part
from tests.bench.machine import machine
from tests.bench.report import as_json, table, write_into

PARTS: Final = ("fleet", "scale", "memory", "consumer", "spread", "history", "start")
PAGE: Final = Path(__file__).parents[2] / "docs" / "performance.md"
RUNS: Final = 3


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all of them when left out")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run: whether it works, not how fast")
    parser.add_argument("--runs", type=int, default=0, help=f"how often each is measured; {RUNS} by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON as well")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {PAGE.name}; not with --quick")
    asked = parser.parse_args()
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if asked.quick and asked.write:
        parser.error("--quick measures nothing that is worth writing down")
    here = machine()
    console = Console()
    measured: list[Part] = []
    for name in asked.parts or PARTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="devicevault-bench-") as folder:
            part: Part = import_module(f"tests.bench.{name}").measure(
                Path(folder), quick=asked.quick, runs=asked.runs or (1 if asked.quick else RUNS)
            )
        console.print(table(part), f"{name} took {time.monotonic() - began:.0f} s", "", sep="\n")
        measured.append(part)
        if asked.write:
            write_into(PAGE, part, here, f"make bench BENCH={name}")
        if asked.json:
            told = {"machine": here, "quick": asked.quick, "parts": [as_json(one) for one in measured]}
            asked.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
