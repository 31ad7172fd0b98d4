"""DeviceVault keeps the configuration of every network device safe."""

from __future__ import annotations

__version__ = "0.1.0"
