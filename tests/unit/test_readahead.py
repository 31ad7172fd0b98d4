"""What a socket received is given out as it was asked for, and the socket is asked as seldom as may be."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.collector.readahead import AT_ONCE, ReadAhead


class Counted:
    """A socket that has received all this, and gives it in pieces as large as it is asked for."""

    def __init__(self, received: bytes) -> None:
        self.received = received
        self.calls = 0

    def recv(self, size: int) -> bytes:
        self.calls += 1
        given, self.received = self.received[:size], self.received[size:]
        return given


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@given(received=st.binary(max_size=200), sizes=st.lists(st.integers(min_value=1, max_value=50)))
def test_every_byte_comes_once_and_in_order(received: bytes, sizes: list[int]) -> None:
    sock = ReadAhead(Counted(received))  # type: ignore[arg-type]
    pieces = [sock.recv(size) for size in sizes]
    assert all(len(piece) <= size for piece, size in zip(pieces, sizes, strict=True))
    assert received.startswith(b"".join(pieces))
    while piece := sock.recv(50):
        pieces.append(piece)
    assert b"".join(pieces) == received


def test_many_small_packets_are_one_call() -> None:
    counted = Counted(b"x" * 4096)
    sock = ReadAhead(counted)  # type: ignore[arg-type]
    assert b"".join(sock.recv(16) for _ in range(256)) == b"x" * 4096
    assert counted.calls == 1


def test_a_large_packet_is_one_call_too() -> None:
    counted = Counted(b"x" * 3 * AT_ONCE)
    sock = ReadAhead(counted)  # type: ignore[arg-type]
    assert len(sock.recv(3 * AT_ONCE)) == 3 * AT_ONCE
    assert counted.calls == 1


def test_what_came_before_the_end_is_given_out_before_it(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sock = ReadAhead(ours)
    theirs.sendall(b"ab")
    theirs.close()
    assert [sock.recv(1), sock.recv(1), sock.recv(1)] == [b"a", b"b", b""]


def test_a_silent_socket_times_out_and_everything_else_is_its_own(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    sock = ReadAhead(ours)
    sock.settimeout(0.01)
    with pytest.raises(TimeoutError):
        sock.recv(10)
    sock.sendall(b"typed")
    assert theirs.recv(10) == b"typed"
    sock.close()
    assert ours.fileno() == -1
