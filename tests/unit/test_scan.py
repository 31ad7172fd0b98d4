"""Matching many patterns line by line."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devicevault.collector.redact import FILTER
from devicevault.collector.scan import Scan, lowered, required_literals, search
from devicevault.platforms import Platforms

PAGES = tuple(Platforms.load())


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        (r"^snmp-server community (\S+)", ["snmp-server community "]),
        (r"^\s*set [\w-]+ (ENC \S+)", ["set "]),
        (r"abc|def", ["abc", "def"]),
        (r"abc|\d", []),
        (r"(?:abcd|efgh) key", ["abcd", "efgh"]),
        (r"(?:abcd|efgh)? key", [" key"]),
        (r"(?:abcd|efgh){0,2} key", [" key"]),
        (r"x(?!long text)y", ["x"]),
        (r"x(?P<secret>long text)y", ["long text"]),
        (r"x(?P<n>ab)(?P=n)long", ["long"]),
        (r"colou?r of", ["colo"]),
        (r"ab+cd", ["ab"]),
        (r"a{0,3}xyz", ["xyz"]),
        (r"[abc\]]long", ["long"]),
        (r"(?i)PassWord", ["password"]),
        (r"(?x) a b c", []),
        (r"\$9\$x", ["$9$x"]),
        (r"a(?:b\)c|[)])def", ["def"]),
        (r"", []),
    ],
)
def test_the_texts_every_match_must_hold_are_found(pattern: str, literals: list[str]) -> None:
    assert list(required_literals(pattern)) == literals


@pytest.mark.parametrize(
    "pattern",
    sorted(
        {rule.pattern.pattern for page in PAGES for rule in page.secrets}
        | {pattern.pattern for page in PAGES for pattern in page.volatile}
        | {rule.pattern.pattern for rule in FILTER}
    ),
)
def test_no_rule_misses_a_match_for_the_sake_of_speed(pattern: str) -> None:
    """Whatever an expression matches contains one of the texts by which lines are chosen."""
    literals = required_literals(pattern) or ("",)

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(re.compile(pattern, re.MULTILINE | re.ASCII)))
    def holds(text: str) -> None:
        lowered = text.replace("\u0130", "i").lower()
        assert any(literal in lowered for literal in literals)

    holds()


def test_a_match_stays_within_its_line() -> None:
    scan = Scan("key\nvalue\nkey  value\n")
    assert [match[0] for match in scan.matches(re.compile(r"key\s+value"))] == ["key  value"]


def test_an_expression_that_names_a_line_end_reaches_across_lines() -> None:
    assert [match[0] for match in Scan("a\nb\n").matches(re.compile(r"a\nb"))] == ["a\nb"]


def test_several_matches_of_one_line_are_each_found_once() -> None:
    assert len(list(Scan("k=1 k=2\nk=3").matches(re.compile(r"k=(\d)")))) == 3


@given(st.lists(st.text("ak= \n\u0130", max_size=12), max_size=8))
def test_the_same_lines_match_as_without_choosing(lines: list[str]) -> None:
    text = "\n".join(lines)
    pattern = re.compile(r"^ *k=(\S+)", re.MULTILINE)
    expected = [match.span() for match in re.finditer(r"^ *k=(\S+)", text, re.MULTILINE)]
    assert [match.span() for match in Scan(text).matches(pattern)] == expected


FACT_PATTERNS = tuple(
    dict.fromkeys(
        pattern
        for page in PAGES
        for source in (*page.facts, *page.author)
        for pattern in vars(source).values()
        if isinstance(pattern, re.Pattern)
    )
)
LINES = st.lists(
    st.sampled_from(
        [
            "! Last configuration change at 10:00:00 UTC Mon May 4 2026 by ada",
            "Cisco IOS Software, Version 15.2(4)M",
            "Processor board ID FTX1234567",
            "Version: 7.1",
            "hostname R1",
            "VERSION 9",
        ]
    ),
    max_size=4,
).map("\n".join)


@given(pattern=st.sampled_from(FACT_PATTERNS), text=LINES | st.text(max_size=30))
def test_a_fact_is_found_as_if_every_character_had_been_looked_at(pattern: re.Pattern[str], text: str) -> None:
    found, expected = search(pattern, text, lowered(text)), pattern.search(text)
    assert (found and found.span()) == (expected and expected.span())
