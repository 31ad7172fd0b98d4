"""What talks to devices."""

from __future__ import annotations

import sys

# paramiko imports invoke for one keyword of an ssh_config, which no session reads, and does without if there is none.
# It would take 2.6 MB of each worker, and 28 ms of its start.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]  # what the import system itself puts there
