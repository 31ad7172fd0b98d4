"""The thread under each SSH session: it ends with its session, and is not in the way meanwhile."""

from __future__ import annotations

import socket
import threading

import paramiko
import pytest

from devicevault.collector.transport import Transport


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-Device\r\n"])
def test_a_closed_transport_ends_its_thread_at_once(greeting: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        transport = Transport(near)
        transport.start_client(timeout=0.3)
        assert transport.is_alive()
        far.sendall(greeting)
        transport.close()
        transport.join(Transport._active_check_timeout / 2)
        assert not transport.is_alive()
        assert transport not in threading.enumerate()


def test_a_changed_packet_is_still_noticed() -> None:
    assert paramiko.util.constant_time_bytes_eq(b"digest", b"digest")
    assert not paramiko.util.constant_time_bytes_eq(b"digest", b"digesT")
    assert not paramiko.util.constant_time_bytes_eq(b"digest", b"diges")
