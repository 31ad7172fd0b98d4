"""Pydantic's complaints in the words of the person who set the value."""

from __future__ import annotations

from typing import Any, Final, get_args

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
        return problem, did_you_mean(str(value), get_args(kind))
    if isinstance(value, int | float):
        problem += f", not {value}"
    return problem, ""
