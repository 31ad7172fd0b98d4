"""Platforms: one page of TOML for each, and the loader.

Pages come with the package; a page of the same name in the operator's own folder takes its place.
"""

from __future__ import annotations

from devicevault.platforms.loader import Platforms
from devicevault.platforms.page import Platform

__all__ = ["Platform", "Platforms"]
