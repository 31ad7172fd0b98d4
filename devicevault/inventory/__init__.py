"""Which devices exist."""

from __future__ import annotations

from devicevault.inventory.device import Device
from devicevault.inventory.inventory import Inventory
from devicevault.inventory.load import load_inventory

__all__ = ["Device", "Inventory", "load_inventory"]
