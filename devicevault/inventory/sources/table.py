"""What the table of a source may say, whatever its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from devicevault.inventory.convert import OPTION
from devicevault.inventory.sources.mapping import PLAIN, Fields
from devicevault.inventory.sources.text import Record
from devicevault.inventory.unfit import Unfit

#: Keys of a device that a record may fill.
DEVICE_KEYS: Final = tuple(PLAIN)


class Folder:
    """What a source's table is checked against: the folder its relative paths start from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def _checked_fields(fields: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    for key in fields:
        if key not in DEVICE_KEYS and not key.startswith(OPTION):
            raise Unfit(f"{key!r} is no key of a device", f"known keys: {', '.join(DEVICE_KEYS)}")
    return fields


def _is_text(text: Any) -> Any:
    if isinstance(text, str) and not text:
        raise Unfit("must not be empty")
    return text


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise Unfit("is not a URL", "write it like https://HOST/PATH") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(map(str.isspace, url)):
        raise Unfit("is not a URL of HTTP", "write it like https://HOST/PATH")
    if parts.username or parts.password:
        raise Unfit("has a user or password in it", "write them as keys of their own: user, and password by reference")
    return url


FilledText = Annotated[str, BeforeValidator(_is_text)]
WebUrl = Annotated[str, AfterValidator(_checked_url)]


class SourceTable(BaseModel):
    """``[sources.NAME]``: how one source is asked, and how its answer is read."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    #: Where each key of a device stands in this kind's records, unless ``fields`` says otherwise.
    usual_fields: ClassVar[Fields] = PLAIN

    kind: str
    fields: Annotated[dict[str, str | list[str]], AfterValidator(_checked_fields)] = {}
    platforms: dict[str, str] = {}
    groups: dict[str, str] = {}
    #: What its devices have in common; checked as ``[defaults]`` is.
    defaults: dict[str, Any] = {}
    #: Seconds for the whole answer.
    timeout_s: float = Field(default=30, gt=0, le=90)
    #: Seconds an answer counts as new, and a failure as known.
    cache_s: float = Field(default=300, ge=0, le=86400)
    #: Share of its devices that may be missing from an answer.
    max_shrink: float = Field(default=0.3, ge=0, le=1)

    def ask(self, folder: Path) -> list[Record]:
        """What the source says now. Raises :class:`SourceFailed`."""
        raise NotImplementedError

    @property
    def all_fields(self) -> Fields:
        return {**self.usual_fields, **self.fields}
