"""The devices of those who move here, out of what they used before: for ``devicevault devices import``."""

from __future__ import annotations

from devicevault.inventory.importing.gathered import Gathered, ImportFailed
from devicevault.inventory.importing.plan import Plan, planned

__all__ = ["Gathered", "ImportFailed", "Plan", "planned"]
