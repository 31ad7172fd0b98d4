"""The plugins of this host: those that can't be used, and those that the inventory's devices need and lack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from devicevault.doctor.finding import Finding
from devicevault.errors import ConfigurationError, PluginUnusable
from devicevault.inventory import Inventory
from devicevault.platforms import Platforms
from devicevault.plugins import Plugins
from devicevault.settings import Settings

CHECK: Final = "plugins"


def look(settings: Settings, inventory: Inventory | None) -> Iterator[Finding]:
    """Loads every plugin. Those of the package are told only where they fail."""
    plugins = Plugins()
    installed = []
    for found in plugins.look():
        if found.problem:
            yield Finding.fault(CHECK, found.problem, f"mend, upgrade or remove {found.origin}")
        elif found.package:
            installed.append(f"{found.name} ({found.origin})")
    if installed:
        yield Finding.ok(CHECK, ", ".join(installed))
    try:
        pages = Platforms.load(settings.platforms_dir)
    except ConfigurationError:
        return  # told already
    used = {device.platform for device in inventory} if inventory else set()
    for page in pages:
        if page.plugin and page.name in used:
            try:
                plugins.fit(page)
            except PluginUnusable as error:
                yield Finding.warning(
                    CHECK, f"devices of platform {page.name!r} can't be read from this host: {error.problem}", error.fix
                )
