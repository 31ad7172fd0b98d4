"""A search finds the lines a regular expression matches: no more, no fewer, and in time."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devicevault.errors import UsageError
from devicevault.store.matching import Matcher, PatternTooSlowError, required_literal

EXPRESSIONS = [
    "a",
    "ab",
    "^a",
    "b$",
    "a.b",
    "a*b",
    "a?bb",
    "ab{0,1}",
    "a{2}",
    "[ab]c",
    "[]a]b",
    "[^]a]b",
    r"\bab",
    r"a\.b",
    r"\[a",
    "a|b",
    "(a)b",
    "(?:ab)?c",
    "(?i)AB",
    r"\x61b",
    "a+b",
    "",
    r"b\Z",
    r"\A[bc]",
    r"[ab](?!\n)",
    r"(?<!\n)[ab]",
    r"[ab](?>\s*)$",
    r"[ab]\s*+$",
    "(?s)a.c",
    r"a\sb",
]


def lines(expression: str, text: str, *, ignore_case: bool = False) -> list[tuple[int, str]]:
    return Matcher.compile(expression, ignore_case=ignore_case).lines(text.encode())


@given(expression=st.sampled_from(EXPRESSIONS), text=st.text("aAbBc.[]\n ſK", max_size=40), ignore_case=st.booleans())
@example(expression=r"b\Z", text="B\nſ", ignore_case=True)
@example(expression=r"\A[bc]", text="a\nb\n", ignore_case=False)
@example(expression=r"[ab](?!\n)", text="a\nb\n", ignore_case=False)
@example(expression=r"(?<!\n)[ab]", text="c\na\n", ignore_case=False)
@example(expression=r"[ab](?>\s*)$", text="a \nb\n", ignore_case=False)
@example(expression=r"[ab]\s*+$", text="a \nb\n", ignore_case=False)
def test_it_finds_what_looking_at_each_line_finds(expression: str, text: str, ignore_case: bool) -> None:
    pattern = re.compile(expression, re.IGNORECASE if ignore_case else 0)
    body = text.removesuffix("\n").split("\n") if text else []
    expected = [(number, line) for number, line in enumerate(body, 1) if pattern.search(line)]
    found = lines(expression, text, ignore_case=ignore_case)
    assert found == expected


@pytest.mark.parametrize(
    ("expression", "literal"),
    [
        ("snmp-server community", "snmp-server community"),
        (r"^ip route 10\.0\.0\.0 \S+", "ip route 10.0.0.0 "),
        ("telnets?", "telnet"),
        ("a|b", ""),
        ("(secret)?x", ""),
        ("[abc]", ""),
        (r"x{3}yy", "yy"),
        (r"\x41bcd", ""),
        ("(?x) a b", ""),
    ],
)
def test_the_word_a_match_must_hold(expression: str, literal: str) -> None:
    assert required_literal(expression) == literal


def test_an_expression_that_tries_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devicevault.store.matching.TEXT_LIMIT_S", 0.1)
    with pytest.raises(PatternTooSlowError):
        lines("^(a+)+$", "a" * 60 + "!\n")
    assert lines("a", "a\n") == [(1, "a")]


def test_what_is_no_expression_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not a regular expression"):
        Matcher.compile("(")
    assert Matcher.compile("(", fixed=True).lines(b"a(\n") == [(1, "a(")]
