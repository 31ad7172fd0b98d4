"""Recordings as TOML text, so that a person can read and change them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from devicevault.platforms.recording import Recording


def written(recording: Recording) -> str:
    """The recording as TOML. What has its default value is left out."""
    data = recording.model_dump(exclude_defaults=True)
    answers = data.pop("answers")
    expect = data.pop("expect", {})
    pager = data.pop("pager", {})
    logins = data.pop("login", ())
    parts = ["\n".join(_pairs(data))]
    if pager:
        parts.append("\n".join(["[pager]", *_pairs(pager)]))
    parts += ["\n".join(["[[login]]", *_pairs(login)]) for login in logins]
    parts.append("\n".join(["[answers]", *(f"{_basic(command)} = {_text(text)}" for command, text in answers.items())]))
    if expect:
        parts.append("\n".join(["[expect]", *_pairs(expect)]))
    return "\n\n".join(parts) + "\n"


def _pairs(data: dict[str, object]) -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, bool | int):
            yield f"{key} = {str(value).lower()}"
        elif isinstance(value, str):
            yield f"{key} = {_text(value)}"
        elif isinstance(value, Sequence):
            yield f"{key} = [{', '.join(_basic(str(item)) for item in value)}]"


def _text(value: str) -> str:
    """As it stands where it has lines and no sign that TOML would not take literally."""
    literal = value.count("\n") > 1 and "'''" not in value and not value.endswith("'")
    if literal and all(sign in "\n\t" or (sign >= " " and sign != "\x7f") for sign in value):
        return f"'''\n{value}'''"
    return _basic(value)


def _basic(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
