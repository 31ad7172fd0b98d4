"""What a page tells a plugin of the package, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from devicevault.nearest import did_you_mean


class Told(BaseModel):
    """The settings of a page's ``[plugin]`` table."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TlsTold(Told):
    """Whom to take for the device; its own options of the same names come first."""

    ca_file: str = ""
    fingerprint: str = ""
    server_name: str = ""


def complaints(kind: type[Told], settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the settings, a sentence each."""
    try:
        kind.model_validate(dict(settings))
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            key = ".".join(map(str, item["loc"]))
            if item["type"] == "extra_forbidden":
                hint = did_you_mean(key, kind.model_fields)
                yield f"there is no setting {key!r}" + (f" ({hint})" if hint else "")
            else:
                yield f"{key}: {item['msg']}"
