"""Find and read platform pages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from devicevault.errors import ConfigurationError, Fault, PlatformUnknown
from devicevault.nearest import did_you_mean
from devicevault.platforms.extend import Folders, extended
from devicevault.platforms.page import Platform
from devicevault.tomlfile import TomlDocument, read_toml

PACKAGE_PAGES: Final = Path(__file__).parent / "pages"

#: Part of every ``rules_digest``: raise it when the meaning of a page or the filter behind it changes.
RULES_VERSION: Final = 1

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_FILLED_IN: Final = ("name", "digest")
#: Keys of a page that say nothing of a configuration's text: no new baseline begins with them.
_NO_RULES: Final = frozenset({"change_messages"})


@dataclass(frozen=True)
class Platforms:
    """Every platform this host knows."""

    pages: Mapping[str, Platform]

    @classmethod
    def load(cls, extra_dir: Path | None = None) -> Platforms:
        """The package's pages and those in ``extra_dir``, which need not exist.

        Raises :class:`ConfigurationError` with the faults of every page.
        """
        folders = _folders(extra_dir)
        pages: dict[str, Platform] = {}
        faults: list[Fault] = []
        for name in folders.names():
            try:
                pages[name] = read_page(folders.page(name), folders)
            except ConfigurationError as error:
                faults += error.faults
        if faults:
            raise ConfigurationError(faults)
        return cls(pages)

    def names(self) -> tuple[str, ...]:
        """Every platform's name, sorted."""
        return tuple(self.pages)

    def get(self, name: str) -> Platform:
        """The platform of this name. Raises :class:`PlatformUnknown`, naming the nearest one."""
        if name in self.pages:
            return self.pages[name]
        hint = did_you_mean(name, self.pages)
        raise PlatformUnknown(
            f"there is no platform {name!r}" + (f"; {hint}" if hint else ""),
            "see `devicevault platforms list`, or add a page to /etc/devicevault/platforms",
        )

    def __iter__(self) -> Iterator[Platform]:
        return iter(self.pages.values())

    def __contains__(self, name: object) -> bool:
        return name in self.pages


def platform_names(extra_dir: Path | None = None) -> tuple[str, ...]:
    """The names alone, sorted: to read a hundred pages takes half a second. A wrong page has its name as well."""
    return tuple(_folders(extra_dir).names())


def read_page(path: Path, folders: Folders | None = None) -> Platform:
    """The page in this file, which may extend one of ``folders``.

    Raises :class:`ConfigurationError` with every fault of the page.
    """
    if not _NAME.fullmatch(path.stem):
        raise ConfigurationError(
            Fault(str(path), f"{path.stem!r} can't be a platform's name", "use small letters, digits and underscores")
        )
    document = read_toml(path)
    for key in _FILLED_IN:
        if key in document.data:
            problem = "the name is the file's own" if key == "name" else "is worked out from the page"
            raise ConfigurationError(document.fault((key,), problem, "remove the key"))
    data = extended(document, folders or Folders(shipped=_pages_in(PACKAGE_PAGES), own={}))
    try:
        return Platform.model_validate({**data, "name": path.stem, "digest": _digest(data)})
    except ValidationError as error:
        raise ConfigurationError(_faults(document, error)) from None


def _folders(extra_dir: Path | None) -> Folders:
    return Folders(shipped=_pages_in(PACKAGE_PAGES), own=_pages_in(extra_dir) if extra_dir else {})


def _pages_in(folder: Path) -> dict[str, Path]:
    try:
        return {
            path.stem: path
            for path in sorted(folder.iterdir())
            if path.suffix == ".toml" and not path.name.startswith(".")
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigurationError(
            Fault(str(folder), f"can't be read: {error.strerror}", "check its owner and mode")
        ) from None


def _digest(data: Mapping[str, Any]) -> str:
    rules = {key: value for key, value in data.items() if key not in _NO_RULES}
    content = json.dumps([RULES_VERSION, rules], sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def _faults(document: TomlDocument, error: ValidationError) -> list[Fault]:
    faults: list[Fault] = []
    items = error.errors(include_url=False, include_input=False)
    for item in items:
        keys = item["loc"]
        if any(other["loc"][: len(keys)] == keys and len(other["loc"]) > len(keys) for other in items):
            continue  # A list is called too short for lack of the entry that is wrong.
        message = item["msg"].removeprefix("Value error, ")
        fix = ""
        if item["type"] == "extra_forbidden":
            message = "there is no such key"
            fix = did_you_mean(str(keys[-1]), _siblings(keys))
        elif item["type"] == "missing":
            message = "is missing"
        faults.append(document.fault(keys, message, fix))
    return faults


def _siblings(keys: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that may stand where the unknown one stands."""
    model: Any = Platform
    for key in keys[:-1]:
        if isinstance(key, str):
            annotation = model.model_fields[key].annotation
            arguments = getattr(annotation, "__args__", ())
            model = arguments[0] if arguments else annotation
    return tuple(model.model_fields)
