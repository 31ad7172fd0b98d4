"""What the inventory's tables and rows may say, checked against what is known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from devicevault import names
from devicevault.errors import Fault
from devicevault.inventory.address import checked_address
from devicevault.inventory.known import Known
from devicevault.inventory.unfit import Unfit
from devicevault.nearest import did_you_mean

#: A fault at a key of the table or row it was made for: ``fault_at(key, problem, fix)``.
FaultAt: TypeAlias = Callable[[str, str, str], Fault]

#: Device names become file names, Redis keys and words on a command line.
_NAME: Final = re.compile(r"[\w:][\w.:@+-]{0,199}")
_LINE_MAX: Final = 64
_SECRET_WORD: Final = re.compile(r"passw|passphrase|secret|private.?key|community", re.IGNORECASE)
_SECRETS_BELONG: Final = 'secrets belong in credentials.toml; here stands: credential = "NAME"'


def checked_name(name: str) -> str:
    """``name`` when a device may be called so. Raises :class:`Unfit` otherwise."""
    if not _NAME.fullmatch(name):
        raise Unfit(
            f"{name!r} can't be a device's name",
            "letters, digits and . : @ + - _ only, beginning with a letter or digit",
        )
    return name


def _known(info: ValidationInfo) -> Known:
    if not isinstance(info.context, Known):
        raise TypeError("an entry is checked against what is known: model_validate(…, context=Known(…))")
    return info.context


def _platform(name: str, info: ValidationInfo) -> str:
    return _known(info).check_platform(name)


def _group(name: str, info: ValidationInfo) -> str:
    return _known(info).check_group(name)


def _credential(name: str, info: ValidationInfo) -> str:
    return _known(info).check_credential(name)


def _jump(name: str, info: ValidationInfo) -> str:
    return _known(info).check_jump(name)


def _console_line(text: str) -> str:
    if not text.isprintable() or len(text) > _LINE_MAX:
        raise Unfit(f"{text!r} can't be a console server's line", "what stands behind the login name, such as :port7")
    return text


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _checked_tag(tag: str) -> str:
    if not tag or re.search(r"[\s,]", tag):
        raise Unfit(f"{tag!r} can't be a tag", "a word without blanks and commas")
    return tag


def _checked_options(options: dict[str, Any]) -> dict[str, Any]:
    for key in options.keys() & DeviceEntry.model_fields.keys():
        raise Unfit(f"{key!r} is no option", "write it as a key of its own, beside options")
    _check_option(options, "options")
    return options


def _check_option(value: Any, name: str) -> None:
    """Raise :class:`Unfit` for a secret, or for what JSON can't carry, at any depth."""
    if isinstance(value, dict):
        for key, item in value.items():
            if _SECRET_WORD.search(key):
                raise Unfit(f"{key!r} looks like a secret, and options travel through the broker", _SECRETS_BELONG)
            _check_option(item, key)
    elif isinstance(value, list):
        for item in value:
            _check_option(item, name)
    elif not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise Unfit(f"{name!r} is not text, a number, true or false, or a list or table of these")


Address = Annotated[str, AfterValidator(checked_address)]
Name = Annotated[str, AfterValidator(checked_name)]
Platform = Annotated[str, AfterValidator(_platform)]
Group = Annotated[str, AfterValidator(_group)]
Credential = Annotated[str, AfterValidator(_credential)]
Jump = Annotated[str, AfterValidator(_jump)]
ConsoleLine = Annotated[str, AfterValidator(_console_line)]
Tag = Annotated[str, AfterValidator(_checked_tag)]


class GroupEntry(BaseModel):
    """``[groups.NAME]``: what the devices of a group have in common."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    platform: Platform = ""
    port: int = Field(default=22, ge=1, le=65535)
    credential: Annotated[list[Credential], BeforeValidator(_as_list)] = Field(default=[], min_length=1)
    enabled: bool = True
    tags: list[Tag] = []
    options: Annotated[dict[str, Any], AfterValidator(_checked_options)] = {}
    algorithms: Literal["modern", "legacy"] | None = Field(
        default=None, validation_alias=AliasChoices("algorithms", "ssh")
    )
    deadline_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    #: In order; an empty list goes straight where the group's settings would not.
    jump: Annotated[list[Jump] | None, BeforeValidator(_as_list)] = None
    console: Credential = ""


class DefaultsEntry(GroupEntry):
    """``[defaults]``: what all devices have in common."""

    group: Group = names.DEFAULT_GROUP


class DeviceEntry(DefaultsEntry):
    """``[devices.NAME]``, or one row of a text in columns."""

    address: Address = ""
    id: Name = ""
    #: Here alone: no group and no default makes a password travel in the clear.
    transport: Literal["ssh", "telnet"] = "ssh"
    console_line: ConsoleLine = ""


#: What a device's table may say, `algorithms` by its other name as well.
DEVICE_KEYS: Final = frozenset(DeviceEntry.model_fields) | {"ssh"}


def faults_of(error: ValidationError, entry: type[BaseModel], fault_at: FaultAt) -> Iterator[Fault]:
    """Each thing wrong with an entry, at its key."""
    for detail in error.errors(include_input=False, include_url=False):
        key = str(detail["loc"][0]) if detail["loc"] else ""
        if detail["type"] == "extra_forbidden":
            secret = _SECRETS_BELONG if _SECRET_WORD.search(key) else ""
            known = ", ".join(entry.model_fields)
            yield fault_at(
                key, "unknown key", secret or did_you_mean(key, entry.model_fields) or f"known keys: {known}"
            )
        else:
            yield fault_at(key, *_words(detail["type"], detail["msg"], detail.get("ctx", {})))


def _words(kind: str, message: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Problem and fix in an operator's words."""
    cause = context.get("error")
    if isinstance(cause, Unfit):
        return cause.problem, cause.fix
    return (_PROBLEMS[kind].format(**context) if kind in _PROBLEMS else message), ""


_PROBLEMS: Final = {
    "string_type": "must be text, in double quotes",
    "int_type": "must be a whole number, without quotes",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "list_type": 'must be a list: ["…", "…"]',
    "dict_type": "must be a table: {{ key = value }}",
    "model_type": "must be a table",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le:g}",
    "greater_than": "must be more than {gt:g}",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty; leave the key out",
    "literal_error": "must be one of {expected}",
}
