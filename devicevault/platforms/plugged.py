"""What a page says whose devices a plugin reads."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

#: What such a page need not say: there is no terminal. A plugin that can't tell that nothing is missing reads twice.
PLUGGED: Final[dict[str, Any]] = {
    "session": {"prompt": r"\A\Z"},
    "artifacts": [{}],
    "complete": {"read_twice": True},
}


class PluginUse(BaseModel):
    """Which plugin reads a platform's devices; every other key of the table is a setting of that plugin."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    #: The port where the inventory says none.
    port: int = Field(default=22, ge=1, le=65535)
    #: The device option that lists what to ask for, where no page can know it: one artifact for each.
    ask_option: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """What the plugin is to be told."""
        return dict(self.model_extra or {})
