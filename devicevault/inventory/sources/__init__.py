"""Devices that other systems know: ``[sources.NAME]`` of the inventory.

Each kind of source is a table of settings and a way to ask it; what it answers are records, which a mapping turns
into devices. A source that fails, or suddenly knows far fewer devices, leaves its last good answer standing.
"""

from __future__ import annotations

from devicevault.inventory.sources.declared import Source, declared
from devicevault.inventory.sources.gather import Answer, gather, keep

__all__ = ["Answer", "Source", "declared", "gather", "keep"]
