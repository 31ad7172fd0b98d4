"""Find the plugins that are installed, and load each when it is first needed.

One that can't be imported breaks nothing but the collections that need it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from devicevault.errors import PluginUnusable
from devicevault.nearest import did_you_mean
from devicevault.platforms.page import Platform
from devicevault.plugins.protocol import Plugin

GROUP: Final = "devicevault.plugins"
#: Those of the package itself. They need no entry point, so that none can take their place.
SHIPPED: Final = {
    "https": "devicevault.plugins.https:Https",
    "netconf": "devicevault.plugins.netconf:Netconf",
    "scp": "devicevault.plugins.scp:Scp",
    "sftp": "devicevault.plugins.sftp:Sftp",
    "sophos": "devicevault.plugins.sophos:Sophos",
}


@dataclass(frozen=True)
class Found:
    """An installed plugin."""

    name: str
    #: ``module:object``
    value: str
    #: The distribution it came with; empty for the package's own.
    package: str
    version: str
    #: Why it can't be used, or empty.
    problem: str = ""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return f"{self.package} {self.version}".strip() or "DeviceVault"


class Plugins:
    """The plugins of this host. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._points: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[str, Plugin] = {}

    def names(self) -> list[str]:
        """Every plugin's name, sorted."""
        return sorted(self._found())

    def get(self, name: str) -> Plugin:
        """The plugin of this name. Raises :class:`PluginUnusable`."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def fit(self, page: Platform) -> Plugin:
        """The plugin that a page needs, which takes the page's settings. Raises :class:`PluginUnusable`."""
        if page.plugin is None:
            raise PluginUnusable(f"{page.name} names no plugin", "it is read over a command line")
        plugin = self.get(page.plugin.name)
        asks = [ask for source in page.artifacts for ask in source.ask] + [fact.ask for fact in page.facts if fact.ask]
        complaints = [str(complaint) for complaint in plugin.check(page.plugin.settings, asks)]
        if complaints:
            raise PluginUnusable(
                f"plugin {page.plugin.name!r} can't do what the page {page.name!r} says: {'; '.join(complaints)}",
                "correct [plugin] and ask in the page",
            )
        return plugin

    def look(self) -> Iterator[Found]:
        """Every plugin, loaded to see whether it can be."""
        for name, points in sorted(self._found().items()):
            for point in points:
                problem = ""
                if point is points[0]:
                    try:
                        self.get(name)
                    except PluginUnusable as error:
                        problem = error.problem
                else:
                    problem = f"the name {name!r} is taken by {_described(points[0]).origin}"
                yield _described(point, problem)

    def _found(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            found = {name: [EntryPoint(name, value, GROUP)] for name, value in SHIPPED.items()}
            for point in entry_points(group=GROUP):
                found.setdefault(point.name, []).append(point)
            self._points = found
        return self._points

    def _load(self, name: str) -> Plugin:
        points = self._found().get(name)
        if not points:
            raise PluginUnusable(
                f"there is no plugin {name!r} on this host",
                did_you_mean(name, self._found()) or "install its package into DeviceVault's virtual environment",
            )
        described = _described(points[0])
        try:
            made: Any = points[0].load()()
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever others' code does on import)
            raise PluginUnusable(
                f"plugin {name!r} of {described.origin} can't be loaded: {type(error).__name__}: {error}",
                f"mend or upgrade {described.package or described.value}",
            ) from None
        if not (callable(getattr(made, "check", None)) and callable(getattr(made, "open", None))):
            raise PluginUnusable(
                f"plugin {name!r} of {described.origin} is none: {described.value} lacks check() or open()",
                "see devicevault.plugins.Plugin",
            )
        plugin: Plugin = made
        return plugin


def _described(point: EntryPoint, problem: str = "") -> Found:
    package, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return Found(point.name, point.value, package, version, problem)
