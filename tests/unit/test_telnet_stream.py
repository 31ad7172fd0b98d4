"""Telnet's commands are taken out of what comes, however it is cut, and answered once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.collector.telnet import TelnetStream

IAC, SE, SB, WILL, WONT, DO, DONT = 255, 240, 250, 251, 252, 253, 254
ECHO, SUPPRESS_GO_AHEAD, TERMINAL_TYPE, WINDOW_SIZE = 1, 3, 24, 31


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ([WILL, ECHO], [DO, ECHO]),
        ([WILL, SUPPRESS_GO_AHEAD], [DO, SUPPRESS_GO_AHEAD]),
        ([DO, SUPPRESS_GO_AHEAD], [WILL, SUPPRESS_GO_AHEAD]),
        ([WILL, TERMINAL_TYPE], [DONT, TERMINAL_TYPE]),
        ([DO, TERMINAL_TYPE], [WONT, TERMINAL_TYPE]),
        ([DO, 255], [WONT, 255]),
    ],
)
def test_an_option_is_taken_or_refused(asked: list[int], answer: list[int]) -> None:
    stream = TelnetStream()
    assert stream.feed(bytes([IAC, *asked])) == b""
    assert stream.answers() == bytes([IAC, *answer])


def test_the_window_is_wide_when_it_is_asked_for() -> None:
    stream = TelnetStream()
    stream.feed(bytes([IAC, DO, WINDOW_SIZE]))
    size = [*(500).to_bytes(2, "big"), *(1000).to_bytes(2, "big")]
    assert stream.answers() == bytes([IAC, WILL, WINDOW_SIZE, IAC, SB, WINDOW_SIZE, *size, IAC, SE])


def test_two_sides_that_agree_do_not_go_on_confirming_each_other() -> None:
    stream = TelnetStream()
    for _ in range(3):
        stream.feed(bytes([IAC, WILL, ECHO, IAC, WONT, TERMINAL_TYPE, IAC, DONT, WINDOW_SIZE]))
    assert stream.answers() == bytes([IAC, DO, ECHO])
    stream.feed(bytes([IAC, WONT, ECHO]))
    assert stream.answers() == bytes([IAC, DONT, ECHO])


def test_enter_is_cr_nul_in_telnet_and_a_bare_cr_without() -> None:
    stream = TelnetStream()
    assert stream.typed("show\r") == b"show\r"
    stream.feed(bytes([IAC, WILL, ECHO]))
    assert stream.typed("show\r") == b"show\r\0"
    assert stream.typed("\xff") == "\xff".encode()


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=20).map(lambda data: (data.replace(b"\xff", b"\xff\xff"), data)),
        st.builds(lambda verb, option: (bytes([IAC, verb, option]), b""), st.integers(WILL, DONT), st.integers(0, 255)),
        st.binary(max_size=9).map(lambda data: (b"\xff\xfa" + data.replace(b"\xff", b"") + b"\xff\xf0", b"")),
        st.sampled_from([241, 246, 249]).map(lambda command: (bytes([IAC, command]), b"")),
    ),
    max_size=12,
)


@given(PIECES, st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_what_comes_is_the_same_text_and_the_same_answers_however_it_is_cut(
    pieces: list[tuple[bytes, bytes]], sizes: list[int]
) -> None:
    sent = b"".join(raw for raw, _ in pieces)
    whole, cut = TelnetStream(), TelnetStream()
    assert whole.feed(sent) == b"".join(text for _, text in pieces)
    text, at = b"", 0
    for number in range(len(sent)):
        size = sizes[number % len(sizes)]
        text += cut.feed(sent[at : at + size])
        at += size
    assert text == b"".join(text for _, text in pieces)
    assert cut.answers() == whole.answers()
