"""A page that extends another: what is added, what takes its place, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from devicevault.errors import ConfigurationError
from devicevault.platforms import Platform, Platforms

BASE = """\
title = "Base"
vendor = "Example"
errors = ['^% Unknown']
volatile = ['^! Time']
[session]
prompt = 'r1# ?'
pager_off = ["terminal length 0"]
leave = "quit"
[[artifacts]]
commands = ["show config"]
[complete]
ends_with = '^end\\Z'
must_have = ['^version']
[[secrets]]
pattern = '^key (\\S+)'
"""


def loaded(folder: Path, **pages: str) -> Platforms:
    for name, text in {"base": BASE, **pages}.items():
        (folder / f"{name}.toml").write_text(text)
    return Platforms.load(folder)


def patterns(page: Platform, key: str) -> list[str]:
    return [pattern.pattern for pattern in getattr(page, key)]


def faults(folder: Path, **pages: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        loaded(folder, **pages)
    return [str(fault).removeprefix(f"{folder}/") for fault in raised.value.faults]


def test_tables_are_merged_rules_are_added_and_other_keys_take_the_place(tmp_path: Path) -> None:
    own = """\
extends = "base"
title = "Own"
errors = ['^Error']
volatile = ['^uptime']
[session]
pager_off = ["no page"]
[[artifacts]]
commands = ["show all"]
[[secrets]]
pattern = '^word (\\S+)'
"""
    page = loaded(tmp_path, own=own).get("own")
    assert (page.name, page.title, page.vendor) == ("own", "Own", "Example")
    assert patterns(page, "errors") == ["^% Unknown", "^Error"]
    assert patterns(page, "volatile") == ["^! Time", "^uptime"]
    assert [rule.pattern.pattern for rule in page.secrets] == [r"^key (\S+)", r"^word (\S+)"]
    assert (page.session.prompt.pattern, page.session.pager_off, page.session.leave) == ("r1# ?", ("no page",), "quit")
    assert [source.commands for source in page.artifacts] == [("show all",)]
    assert page.complete.ends_with is not None


def test_a_list_or_a_table_may_begin_anew(tmp_path: Path) -> None:
    own = """\
extends = "base"
replace = ["volatile", "complete"]
volatile = ['^uptime']
[complete]
read_twice = true
"""
    page = loaded(tmp_path, own=own).get("own")
    assert patterns(page, "volatile") == ["^uptime"]
    assert page.complete.ends_with is None
    assert page.complete.must_have == ()
    assert patterns(page, "errors") == ["^% Unknown"]


def test_a_page_may_extend_one_that_extends(tmp_path: Path) -> None:
    page = loaded(
        tmp_path,
        middle='extends = "base"\ntitle = "Middle"\nerrors = [\'^Middle\']\n',
        own="extends = \"middle\"\nerrors = ['^Own']\n",
    ).get("own")
    assert page.title == "Middle"
    assert patterns(page, "errors") == ["^% Unknown", "^Middle", "^Own"]


def test_a_sites_page_may_extend_the_packages_of_the_same_name(tmp_path: Path) -> None:
    ours = Platforms.load().get("cisco_ios")
    page = loaded(tmp_path, cisco_ios="extends = \"cisco_ios\"\nvolatile = ['^! Ours']\n").get("cisco_ios")
    assert patterns(page, "volatile") == [*patterns(ours, "volatile"), "^! Ours"]
    assert page.session == ours.session


def test_a_sites_page_stands_behind_the_pages_that_extend_its_name(tmp_path: Path) -> None:
    page = loaded(
        tmp_path,
        cisco_ios="extends = \"cisco_ios\"\nvolatile = ['^! Ours']\n",
        own='extends = "cisco_ios"\n',
    ).get("own")
    assert patterns(page, "volatile")[-1] == "^! Ours"


def test_the_digest_follows_the_page_behind(tmp_path: Path) -> None:
    own = 'extends = "base"\n'
    first = loaded(tmp_path, own=own).get("own").digest
    second = loaded(tmp_path, own=own, base=BASE.replace("! Time", "! Clock")).get("own").digest
    assert first != second


def test_an_unknown_page_is_told_with_the_nearest(tmp_path: Path) -> None:
    assert faults(tmp_path, own='title = "x"\nextends = "bsae"\n') == [
        "own.toml:2: extends: there is no platform 'bsae' to extend; did you mean 'base'?"
    ]


def test_a_circle_is_told(tmp_path: Path) -> None:
    told = sorted(faults(tmp_path, one='extends = "two"\n', two='extends = "one"\n', self='extends = "self"\n'))
    assert told == [
        "one.toml:1: extends: goes round in a circle: two extends one extends two",
        "self.toml:1: extends: there is no platform 'self' to extend; see `devicevault platforms list`",
        "two.toml:1: extends: goes round in a circle: one extends two extends one",
    ]


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ("extends = 1\n", 'own.toml:1: extends: is the name of another platform; say extends = "NAME"'),
        (
            "replace = ['volatile']\n",
            'own.toml:1: replace: is about a page that extends another; say extends = "NAME"',
        ),
        (
            "extends = \"base\"\nreplace = ['volatile']\n",
            "own.toml:2: replace: lists keys this page says anew",
        ),
        ("extends = \"base\"\nreplace = 'volatile'\n", "own.toml:2: replace: lists keys this page says anew"),
        (
            'extends = "base"\n[session]\npromt = "x"\n',
            "own.toml:3: session.promt: there is no such key; did you mean 'prompt'?",
        ),
        ('extends = "base"\nerrors = "x"\n', "own.toml:2: errors: Input should be a valid tuple"),
    ],
)
def test_what_does_not_fit_is_told_at_its_line(own: str, told: str, tmp_path: Path) -> None:
    assert faults(tmp_path, own=own) == [told]


def test_a_fault_of_the_page_behind_is_told_there(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("title = \n")
    (tmp_path / "own.toml").write_text('extends = "base"\n')
    with pytest.raises(ConfigurationError) as raised:
        Platforms.load(tmp_path)
    assert {fault.source for fault in raised.value.faults} == {str(tmp_path / "base.toml")}
