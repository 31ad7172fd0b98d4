"""``extends``: a page that says only what is different from another one.

Tables are merged key by key, and a key said again takes the place of the other page's. The rules are the exception:
``errors``, ``refusals``, ``volatile``, ``secrets``, ``preamble``, ``change_messages`` and ``sources`` are added to the
other page's, its own coming last. ``replace = ["volatile"]`` begins one of them, or any other key of the page such as
``complete``, anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devicevault.errors import ConfigurationError
from devicevault.nearest import did_you_mean
from devicevault.tomlfile import TomlDocument, read_toml

_ADDED: Final = ("errors", "refusals", "volatile", "secrets", "preamble", "change_messages", "sources")


@dataclass(frozen=True)
class Folders:
    """Where pages are: those of the package, and a site's own, which take their place."""

    shipped: Mapping[str, Path]
    own: Mapping[str, Path]

    def names(self) -> list[str]:
        return sorted({*self.shipped, *self.own})

    def page(self, name: str) -> Path:
        return self.own.get(name) or self.shipped[name]

    def behind(self, name: str, path: Path) -> Path | None:
        """The page ``path`` means by ``name``; a site's page means the package's by its own name."""
        return self.shipped.get(name) if path.stem == name and path != self.shipped.get(name) else self._any(name)

    def _any(self, name: str) -> Path | None:
        return self.own.get(name) or self.shipped.get(name)


def extended(document: TomlDocument, folders: Folders) -> dict[str, Any]:
    """The document's data with what it extends.

    Raises :class:`ConfigurationError` for a page that is not there, and for one that extends itself in the end.
    """
    return _extended(document, folders, (document.path,))


def _extended(document: TomlDocument, folders: Folders, seen: tuple[Path, ...]) -> dict[str, Any]:
    data = dict(document.data)
    if "extends" not in data and "replace" not in data:
        return data
    name, anew = data.pop("extends", None), data.pop("replace", [])
    if not isinstance(name, str):
        key = "extends" if "extends" in document.data else "replace"
        problem = "is the name of another platform" if key == "extends" else "is about a page that extends another"
        raise ConfigurationError(document.fault((key,), problem, 'say extends = "NAME"'))
    if not (isinstance(anew, list) and all(key in data for key in anew)):
        raise ConfigurationError(document.fault(("replace",), "lists keys this page says anew"))
    behind = folders.behind(name, document.path)
    if behind is None:
        others = [other for other in folders.names() if other != document.path.stem]
        hint = did_you_mean(name, others) or "see `devicevault platforms list`"
        raise ConfigurationError(document.fault(("extends",), f"there is no platform {name!r} to extend", hint))
    if behind in seen:
        chain = " extends ".join(path.stem for path in (*seen, behind))
        raise ConfigurationError(document.fault(("extends",), f"goes round in a circle: {chain}"))
    return _merged(_extended(read_toml(behind), folders, (*seen, behind)), data, anew)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any], anew: list[str]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        before = base.get(key)
        if key in anew or before is None:
            merged[key] = value
        elif isinstance(before, dict) and isinstance(value, dict):
            merged[key] = {**before, **value}
        elif key in _ADDED and isinstance(before, list) and isinstance(value, list):
            merged[key] = [*before, *value]
        else:
            merged[key] = value
    return merged
