"""The devices of a NetBox, through its REST API.

Facts from NetBox' documentation (integrations/rest-api, reference/filtering): lists come in pages of ``limit`` from
``offset`` on, with ``count``, ``next`` and ``results``; ``exclude=config_context`` leaves out what is dear; tokens of
the second version begin with ``nbt_`` and are sent as ``Bearer``, older ones as ``Token``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import AfterValidator, Field

from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.http import Access
from devicevault.inventory.sources.mapping import PREFIX, Fields
from devicevault.inventory.sources.secret import read_secret
from devicevault.inventory.sources.table import DEVICE_KEYS, SourceTable
from devicevault.inventory.sources.text import Record, from_json
from devicevault.inventory.unfit import Unfit

#: Devices in one page; NetBox' own limit is 1,000 unless it was changed.
_PAGE: Final = 250
_SECOND_VERSION: Final = "nbt_"
#: A list that changes while its pages are read is read again.
_READINGS: Final = 3

_OWN: Final = f"custom_fields.{PREFIX}"
_FIELDS: Final[Fields] = {
    **{key: _OWN + key for key in DEVICE_KEYS},
    "name": "name",
    "address": [f"{_OWN}address", "primary_ip.address"],
    "platform": [f"{_OWN}platform", "platform.slug", "platform.name"],
    "enabled": [f"{_OWN}enabled", "status.value"],
    # The role's name until NetBox 3.6 comes last.
    "tags": ["tags.slug", "site.slug", "role.slug", "device_role.slug", f"{_OWN}tags"],
}
#: NetBox works it out anew for each device, so it is asked for only where a field lies in it.
_CONTEXT: Final = "config_context"


def _checked_filter(wanted: dict[str, Any]) -> dict[str, Any]:
    for key, value in wanted.items():
        if not all(isinstance(one, str | int) for one in (value if isinstance(value, list) else [value])):
            raise Unfit(f"{key!r} is neither text nor a list of texts")
    return wanted


class NetBoxTable(Access, SourceTable):
    """``kind = "netbox"``: the devices, or virtual machines too, that a filter lets through."""

    usual_fields: ClassVar[Fields] = _FIELDS

    kind: Literal["netbox"]
    endpoints: list[str] = Field(default=["dcim/devices"], min_length=1)
    filter: Annotated[dict[str, Any], AfterValidator(_checked_filter)] = Field(
        default={"status": "active", "has_primary_ip": True}
    )

    def authorization(self) -> str:
        if self.token is None:
            return super().authorization()
        token = read_secret(self.token, "token")
        return f"{'Bearer' if token.startswith(_SECOND_VERSION) else 'Token'} {token}"

    def ask(self, folder: Path) -> list[Record]:
        deadline = time.monotonic() + self.timeout_s
        return [record for endpoint in self.endpoints for record in self._list(endpoint, folder, deadline)]

    def _needs_context(self) -> bool:
        paths = [path for told in self.all_fields.values() for path in ([told] if isinstance(told, str) else told)]
        return any(path.partition(".")[0] == _CONTEXT for path in paths)

    def _list(self, endpoint: str, folder: Path, deadline: float) -> list[Record]:
        for _ in range(_READINGS):
            found: dict[Any, Record] = {}
            counts: set[int] = set()
            for page in self._pages(endpoint, folder, deadline):
                counts.add(page["count"])
                found.update((record.get("id"), record) for record in page["results"])
            # One that went while its page was passed moves another one to where we do not look any more.
            if counts == {len(found)}:
                return list(found.values())
        raise SourceFailed(f"{endpoint} does not hold still: it told of {max(counts)} devices and gave {len(found)}")

    def _pages(self, endpoint: str, folder: Path, deadline: float) -> Iterator[dict[str, Any]]:
        base = f"{self.url.rstrip('/').removesuffix('/api')}/api/{endpoint.strip('/')}/"
        query = [*_pairs(self.filter), ("ordering", "id"), ("limit", str(_PAGE))]
        if not self._needs_context():
            query.append(("exclude", _CONTEXT))
        asked: set[str] = set()
        while query:
            url = f"{base}?{urlencode(query)}"
            left_s = deadline - time.monotonic()
            if left_s <= 0 or url in asked:
                raise SourceFailed("its pages come too slowly" if left_s <= 0 else "its pages lead in a circle")
            asked.add(url)
            page = _checked_page(from_json(_text(self.get(url, folder, left_s).body)))
            yield page
            # Behind a proxy the link may name a host or a scheme that is not ours: only its query counts, and the
            # token goes nowhere else.
            query = parse_qsl(urlsplit(page["next"] or "").query, keep_blank_values=True)


def _pairs(wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in wanted.items():
        for one in value if isinstance(value, list) else [value]:
            yield key, str(one).lower() if isinstance(one, bool) else str(one)


def _text(body: bytes) -> str:
    return body.decode(errors="replace")


def _checked_page(page: Any) -> dict[str, Any]:
    if isinstance(page, dict) and isinstance(page.get("results"), list) and isinstance(page.get("count"), int):
        checked: dict[str, Any] = {"next": None, **page}
        if all(isinstance(record, dict) for record in checked["results"]) and isinstance(checked["next"], str | None):
            return checked
    raise SourceFailed("this is no list of NetBox' API", "set url to NetBox itself: https://netbox.example.net")
