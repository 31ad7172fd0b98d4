"""The devices there are, and how a person or a timer picks from them."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from devicevault.errors import UsageError
from devicevault.inventory.device import Device
from devicevault.inventory.source_state import SourceState
from devicevault.nearest import did_you_mean


class Inventory:
    """Every device, in the order of the file, and then of its sources."""

    def __init__(self, path: Path, devices: Iterable[Device], sources: Iterable[SourceState] = ()) -> None:
        self.path = path
        #: How each source stands.
        self.sources = tuple(sources)
        self._by_name = {device.name: device for device in devices}

    def __iter__(self) -> Iterator[Device]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Device:
        """The device of this name. Raises :class:`UsageError` that names the nearest one."""
        try:
            return self._by_name[name]
        except KeyError:
            fix = did_you_mean(name, self._by_name) or "see: devicevault devices list"
            raise UsageError(f"there is no device {name!r} in {self.path}", fix) from None

    def groups(self) -> tuple[str, ...]:
        """The collector groups that have a device, in order of name."""
        return tuple(sorted({device.group for device in self}))

    def select(
        self,
        names: Collection[str] = (),
        groups: Collection[str] = (),
        *,
        everything: bool = False,
        tags: Collection[str] = (),
    ) -> list[Device]:
        """The devices to collect, each once, in the order of the file.

        ``names`` may hold patterns (``core-*``). A device named in full is collected even when it is not enabled;
        all others only when they are. With ``tags`` alone, all devices that bear every one of them; beside
        ``groups`` or ``everything``, the tags narrow these down. Raises :class:`UsageError` when something asked
        for does not exist, or when nothing is left.
        """
        if not (names or groups or everything or tags):
            raise UsageError("no device is asked for", "name devices, or give --group, --tag or --all")
        if everything and (names or groups):
            narrower = "the devices named" if names else "--group"
            raise UsageError(f"--all and {narrower} do not go together", "leave one of the two out")
        named = {name for pattern in names for name in self._named(pattern)}
        wide = bool(groups or everything or tags)
        chosen = [
            device
            for device in self.matching(groups if not everything else (), tags if wide else ())
            if device.enabled and wide
        ]
        names_chosen = named | {device.name for device in chosen}
        if not names_chosen:
            raise UsageError("no enabled device fits what is asked for", f"see: devicevault devices list ({self.path})")
        return [device for device in self if device.name in names_chosen]

    def matching(self, groups: Collection[str] = (), tags: Collection[str] = ()) -> list[Device]:
        """The devices, enabled or not, of any of these groups that bear every one of these tags.

        Raises :class:`UsageError` for a group or a tag that no device has.
        """
        self._check_known("group", groups, {device.group for device in self})
        self._check_known("tag", tags, {tag for device in self for tag in device.tags})
        return [device for device in self if (not groups or device.group in groups) and set(tags) <= set(device.tags)]

    def _named(self, pattern: str) -> list[str]:
        if not set(pattern) & set("*?["):
            return [self.get(pattern).name]
        found = [device.name for device in self if device.enabled and fnmatch.fnmatchcase(device.name, pattern)]
        if not found:
            raise UsageError(f"no enabled device is named like {pattern!r}", "see: devicevault devices list")
        return found

    def _check_known(self, kind: str, asked: Collection[str], known: Collection[str]) -> None:
        for word in asked:
            if word not in known:
                fix = did_you_mean(word, sorted(known)) or f"there are: {', '.join(sorted(known)) or 'none'}"
                raise UsageError(f"no device has the {kind} {word!r}", fix)
