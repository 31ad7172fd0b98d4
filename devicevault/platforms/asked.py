"""What a plugin's page asks of one device, whose options may say so."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from devicevault.errors import PluginUnusable
from devicevault.platforms.page import Platform


def page_for(page: Platform, options: Mapping[str, Any]) -> Platform:
    """The page with what this device's options ask for. Raises :class:`PluginUnusable` where they don't."""
    if page.plugin is None or not (option := page.plugin.ask_option):
        return page
    asked = options.get(option)
    asked = [asked] if isinstance(asked, str) else asked
    if not (isinstance(asked, list) and asked and all(isinstance(each, str) and each for each in asked)):
        raise PluginUnusable(
            f"the device does not say what to fetch, and the page {page.name!r} can't know",
            f'give it options.{option} = ["..."] in the inventory',
        )
    binary = not options.get("text", not page.artifacts[0].binary)
    sources = [
        page.artifacts[0].model_copy(update={"name": name, "ask": (ask,), "binary": binary})
        for name, ask in zip(_names(asked), asked, strict=True)
    ]
    return page.model_copy(update={"artifacts": tuple(sources)})


def _names(paths: Sequence[str]) -> Iterator[str]:
    """An artifact's name for each: the last part of its path, unless two are alike."""
    last = [posixpath.basename(path.rstrip("/")) or path for path in paths]
    for path, short in zip(paths, last, strict=True):
        name = short if last.count(short) == 1 else path.strip("/").replace("/", "_")
        yield name.replace("*", "newest")
