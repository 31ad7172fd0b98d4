"""What every table of the settings file has in common."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Table(BaseModel):
    """One table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python takes true for 1; in a settings file it is a mistake.
        if isinstance(value, bool) and info.field_name and cls.model_fields[info.field_name].annotation in (int, float):
            raise ValueError("must be a number, not true or false")
        return value


T = TypeVar("T", bound=Table)


def overlaid(general: T, override: T) -> T:
    """``general`` with what ``override`` sets explicitly."""
    return general.model_copy(update={name: getattr(override, name) for name in override.model_fields_set})
