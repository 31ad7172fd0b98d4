"""The lines a page of the documentation says to type, to be typed on a machine."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent
from typing import Final

from tests.system.machine import Machine

DOCS: Final = Path(__file__).parents[2] / "docs"
#: As ``sudo -u USER``, which a minimal machine has not.
SUDO: Final = 'sudo() { user=$2; shift 2; HOME=$(getent passwd "$user" | cut -d: -f6) runuser -u "$user" -- "$@"; }\n'


def block(page: str, word: str, under: str = "") -> str:
    """The first block of the page with this word in it; ``under`` a heading, and not before that."""
    text = (DOCS / page).read_text()
    blocks = re.findall(r"^ *```\n(.*?)^ *```$", text[text.index(under) :], re.MULTILINE | re.DOTALL)
    return dedent(next(block for block in blocks if word in block))


def type_block(machine: Machine, page: str, word: str, under: str = "", *, stdin: str = "") -> str:
    """Type that block as root, each line of which must succeed; what was said."""
    return machine.run("bash", "-ec", SUDO + block(page, word, under), stdin=stdin)
