"""The names a device may refer to."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Literal

from devicevault import names
from devicevault.inventory.unfit import Unfit
from devicevault.nearest import did_you_mean


class Known:
    """Platforms, credentials and groups there are; each check answers with the name or raises :class:`Unfit`."""

    def __init__(
        self,
        platforms: Collection[str],
        credentials: Collection[str] | None,
        groups: Collection[str] | None,
        jumps: Collection[str] = (),
    ) -> None:
        self.platforms = frozenset(platforms)
        #: ``None``: not known on this host, nothing is refused.
        self.credentials = None if credentials is None else frozenset(credentials)
        #: ``None``: every well-formed name will do.
        self.groups = None if groups is None else frozenset(groups) | {names.DEFAULT_GROUP}
        #: Empty: not known on this host, nothing is refused.
        self.jumps = frozenset(jumps)
        # A wrong name is often wrong on thousands of devices; the search for the nearest is slow.
        self._hint = functools.cache(self._search)

    def check_platform(self, name: str) -> str:
        if name not in self.platforms:
            raise Unfit(
                f"unknown platform {name!r}", self._hint("platforms", name) or "see: devicevault platforms list"
            )
        return name

    def check_credential(self, name: str) -> str:
        if self.credentials is not None and name not in self.credentials:
            fix = self._hint("credentials", name) or f"add [credentials.{name}] to credentials.toml"
            raise Unfit(f"unknown credential {name!r}", fix)
        return name

    def check_group(self, name: str) -> str:
        if not names.is_group_name(name):
            raise Unfit(
                f"{name!r} can't be a group's name", "small letters and digits, with single - or _ between them"
            )
        if self.groups is not None and name not in self.groups:
            raise Unfit(f"unknown group {name!r}", self._hint("groups", name) or f"declare it: [groups.{name}]")
        return name

    def check_jump(self, name: str) -> str:
        if not names.is_group_name(name):
            raise Unfit(f"{name!r} can't be a jump's name", "small letters and digits, with single - or _ between them")
        if self.jumps and name not in self.jumps:
            fix = self._hint("jumps", name) or f"add [jumps.{name}] to config.toml"
            raise Unfit(f"unknown jump {name!r}", fix)
        return name

    def _search(self, kind: Literal["platforms", "credentials", "groups", "jumps"], name: str) -> str:
        return did_you_mean(name, sorted(getattr(self, kind) or ()))
