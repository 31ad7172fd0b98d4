"""Which devices exist."""

from __future__ import annotations

from devicevault.inventory.device import Device
from devicevault.inventory.inventory import Inventory
from devicevault.inventory.load import load_inventory
from devicevault.inventory.source_state import SourceState

__all__ = ["Device", "Inventory", "SourceState", "load_inventory"]
