"""From what a terminal received to what the device said."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.collector.text import clean, decode, last_line

PROMPT = re.compile(r"[^\s#>]{1,100}[#>] ?")


def test_echo_and_prompt_go_and_the_rest_stays_byte_for_byte() -> None:
    raw = "show running-config\r\nversion 17.9\r\n line with a space at its end \r\nend\r\n\r\nswitch#"
    assert clean(raw, echo="show running-config", prompt=PROMPT) == (
        "version 17.9\n line with a space at its end \nend\n"
    )


def test_a_prompt_inside_the_text_is_no_prompt() -> None:
    raw = "show run\r\ninterface e1\r\n description link-to switch# console\r\nend\r\nswitch#"
    assert "description link-to switch# console\n" in clean(raw, echo="show run", prompt=PROMPT)


@pytest.mark.parametrize(
    ("pager", "erase"),
    [
        pytest.param(" --More-- ", "\b" * 10 + " " * 10 + "\b" * 10, id="ios"),
        pytest.param(" --More-- ", "\b" * 9 + " " * 8 + "\b" * 9, id="ios-short-erase"),
        pytest.param("--More-- ", "\r         \r", id="fortios"),
        pytest.param("<--- More --->", "\r              \r", id="asa"),
        pytest.param("---- More ----", "\x1b[16D                \x1b[16D", id="comware"),
        pytest.param(" --More-- ", "\r\x1b[K", id="eos"),
        pytest.param(":", "\r\x1b[K", id="less"),
        pytest.param("---(more 42%)---", "\r" + " " * 40 + "\r", id="junos"),
        pytest.param("-- MORE --, next page: Space, next line: Enter, quit: q", "\r" + " " * 56 + "\r", id="aoscx"),
    ],
)
@pytest.mark.parametrize("following", ["e", "!", "interface GigabitEthernet1/0/24 with a long description"])
def test_nothing_of_an_erased_pager_question_stays(pager: str, erase: str, following: str) -> None:
    raw = f"show run\r\nfirst\r\n{pager}{erase}{following}\r\nlast\r\nsw#"
    assert clean(raw, echo="show run", prompt=PROMPT) == f"first\n{following}\nlast\n"


def test_a_pager_question_that_was_not_erased_goes_as_well() -> None:
    raw = "show run\r\nfirst\r\n--More-- \r\nsecond\r\nsw#"
    assert clean(raw, echo="show run", prompt=PROMPT) == "first\nsecond\n"


@pytest.mark.parametrize("question", ["--M\x1b[7more--", "--Moo\x08re--"])
def test_a_pager_question_counts_as_it_stands_on_the_terminal(question: str) -> None:
    raw = f"show run\r\nline 1\r\n{question}\r\nline 2\r\nr1#"
    assert clean(raw, echo="show run", prompt="r1#") == "line 1\nline 2\n"


def test_routeros_repeats_prompt_and_command_and_both_go() -> None:
    prompt = re.compile(r"\[[^\]\n]{1,120}\] > ?")
    raw = (
        "/export\r\n\r\r\r\r[admin@MikroTik] > /export\r\n# by RouterOS 7.16\r\n/ip address\r\n\r\r[admin@MikroTik] > "
    )
    assert clean(raw, echo="/export", prompt=prompt) == "# by RouterOS 7.16\n/ip address\n"


def test_a_comment_that_ends_like_the_command_is_no_echo() -> None:
    raw = "show running-config\r\n!Command: show running-config\r\nversion 9.3(10)\r\nleaf# "
    assert clean(raw, echo="show running-config", prompt=PROMPT).startswith("!Command: show running-config\n")


def test_colours_modes_and_titles_leave_no_trace() -> None:
    raw = "show x\r\n\x1b[?1h\x1b=\rVersion: \x1b[1;32mVyOS\x1b[0m\x1b[m\r\n\x1b]0;t\x07end\r\n\r\x1b[K\x1b[?1l\x1b>sw#"
    assert clean(raw, echo="show x", prompt=PROMPT) == "Version: VyOS\nend\n"


def test_bytes_that_are_no_utf8_are_read_as_latin1_and_none_is_lost() -> None:
    assert decode("Zürich".encode("latin-1")) == "Zürich"
    assert decode("Zürich".encode()) == "Zürich"


def test_the_line_of_the_cursor_is_known_behind_a_carriage_return() -> None:
    assert last_line("end\r\n\r\n\rswitch# ") == "switch# "
    assert last_line("first\r\n--More-- \r         \rnext") == "next"


@given(st.text(st.characters(exclude_characters="\r\x08\x1b\x00\x07\n", exclude_categories=["Cs"]), max_size=60))
def test_a_plain_line_stays_as_it_is(line: str) -> None:
    """Whatever a description holds is kept, as long as no sign in it moves the cursor."""
    kept = clean(f"cmd\nfirst\n{line}\nlast\nsw#", echo="cmd", prompt="sw#")
    assert kept == f"first\n{line}\nlast\n" or "more" in line.lower() or "(END)" in line


@pytest.mark.parametrize(
    "line",
    [
        "a\r" * 50_000,
        "\x1b]" * 50_000,
        " \r" * 50_000,
        "x" * 50_000 + "\r " * 25_000,
        "\x1b[9999D" * 20_000,
        "\b" * 100_000,
    ],
)
def test_a_hostile_line_is_cleaned_in_linear_time(line: str) -> None:
    started = time.process_time()
    clean(f"cmd\n{line}\nsw#", echo="cmd", prompt=PROMPT)
    assert time.process_time() - started < 2
