"""A page's keyed digests are compared with those taken by the same rules only."""

from __future__ import annotations

import re
from typing import Any

import pytest

from devicevault.collector.normalise import comparison_basis, normalise
from devicevault.collector.seal import Sealer
from devicevault.platforms import Platforms
from devicevault.platforms.page import Platform, SecretRule

PAGE = Platforms.load().get("cisco_ios")


def changed(**values: Any) -> Platform:
    return PAGE.model_copy(update=values)


def rule(pattern: str, *, salted: bool) -> SecretRule:
    return SecretRule(pattern=re.compile(pattern), salted=salted)


@pytest.mark.parametrize(
    "other",
    [
        changed(volatile=(*PAGE.volatile, re.compile("^! clock .*"))),
        changed(preamble=(*PAGE.preamble, re.compile("banner"))),
        changed(continuation=re.compile("-\n")),
        changed(secrets=(*PAGE.secrets, rule("key (?P<secret>.*)", salted=True))),
    ],
)
def test_rules_that_bear_on_what_is_compared_have_another_basis(other: Platform) -> None:
    assert comparison_basis(other) != comparison_basis(PAGE)


@pytest.mark.parametrize(
    "other",
    [
        changed(title="Another title", digest="sha256:another"),
        changed(session=PAGE.session.model_copy(update={"prompt": re.compile("x>")})),
        changed(secrets=(*PAGE.secrets, rule("key (?P<secret>.*)", salted=False))),
    ],
)
def test_other_changes_of_a_page_leave_its_digests_comparable(other: Platform) -> None:
    assert comparison_basis(other) == comparison_basis(PAGE)


def test_the_basis_is_part_of_the_digest() -> None:
    sealer = Sealer((), b"k" * 32)
    normalised = normalise(PAGE, "hostname a\nend\n")
    digest = sealer.keyed_digest(normalised.comparable, normalised.basis)
    assert digest.startswith(f"hmac-sha256:{comparison_basis(PAGE)}:")
    assert digest.rpartition(":")[2] == sealer.keyed_digest(normalised.comparable).rpartition(":")[2]
