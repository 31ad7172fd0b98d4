"""Other ways to a configuration than a command line: files, APIs, NETCONF, and what a site installs itself.

A plugin only fetches bytes. Whether they are whole, what of them is shown, how they are sealed and how large they may
be is decided by the collector and the platform's page, as for every other device.
"""

from __future__ import annotations

from devicevault.plugins.protocol import Device, Fetched, Plugin, Read
from devicevault.plugins.registry import GROUP, Found, Plugins

__all__ = ["GROUP", "Device", "Fetched", "Found", "Plugin", "Plugins", "Read"]
