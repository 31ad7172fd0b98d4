"""Pydantic's complaints in the words of the person who set the value."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args, get_origin

from pydantic_core import ErrorDetails

from devicevault.nearest import did_you_mean

_PROBLEMS: Final = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} character(s)",
    "literal_error": "must be {expected}",
}


def in_words(detail: ErrorDetails, value: Any, kind: Any) -> tuple[str, str]:
    """The problem and the fix; never the value itself, except a number or a choice, which are no secrets."""
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        problem, _, fix = str(context["error"]).partition("; ")
        return problem, fix
    problem = _PROBLEMS.get(detail["type"], detail["msg"]).format(**context)
    if detail["type"] == "literal_error":
        choices = _choices(kind)
        wrong = next((one for one in value if one not in choices), "") if isinstance(value, list | tuple) else value
        return problem, did_you_mean(str(wrong), choices)
    if isinstance(value, int | float):
        problem += f", not {value}"
    return problem, ""


def _choices(kind: Any) -> list[str]:
    """What may stand there, also where it is a list of choices."""
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [choice for part in get_args(kind) for choice in _choices(part)]
