"""One HTTP request to a device and its answer, for plugins whose devices speak HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import Final, TypeVar

from devicevault.errors import (
    AuthenticationFailed,
    CommandRefused,
    CommandRejected,
    DeviceUnreachable,
    OutputTruncated,
)
from devicevault.plugins.protocol import Device, Fetched

T = TypeVar("T")

CHUNK_BYTES: Final = 65536


@dataclass(frozen=True)
class Call:
    """A request. Its headers and body may hold a credential, and are never told."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    #: Without TLS.
    is_plain: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


def exchange(device: Device, call: Call, take: Callable[[HTTPResponse], T]) -> T:
    """What ``take`` makes of the answer to this request, on a connection of its own."""
    # http.client would look up and connect by itself: this one is connected already.
    connection = HTTPConnection(device.address, device.port)
    connection.auto_open = 0
    if call.is_plain:
        connection.sock = device.connect()
        connection.sock.settimeout(None)
    else:
        connection.sock = device.tls()
    try:
        device.doing(f"waiting for the answer to {call}")
        connection.request(call.method, call.target, body=call.body, headers=dict(call.headers))
        return take(connection.getresponse())
    except IncompleteRead as error:
        raise OutputTruncated(
            f"the answer to {call.target} stopped after {len(error.partial)} bytes of its last part", "try again"
        ) from None
    except HTTPException as error:
        # Its text is what the device sent.
        raise DeviceUnreachable(
            f"{device.address} port {device.port} does not speak HTTP as it should ({type(error).__name__})",
            "check that the API listens on this port",
        ) from None
    finally:
        connection.close()


def judge(device: Device, call: Call, answer: HTTPResponse, refused: Collection[int] = (401,)) -> None:
    """Raises what a status means, unless it is 200; those in ``refused`` say that the credential is wrong."""
    status, credential = answer.status, device.credential
    said = f"{device.address} port {device.port} answers {status} {_printable(answer.reason)} to {call}"
    if status in refused:
        raise AuthenticationFailed(
            f"{said}: it refuses credential {credential.name!r}",
            "check its token or password in the worker's credentials file, and from where the device lets it be used",
        )
    if status == 403:
        raise CommandRefused(said, f"give the account of credential {credential.name!r} the right to read it")
    if status == 429 or status >= 500:
        raise DeviceUnreachable(said, "see whether the device is overloaded; it is tried again")
    if status != 200:
        raise CommandRejected(said, "check that the platform fits the device and its release")


def read(device: Device, call: Call, answer: HTTPResponse) -> Fetched:
    """The body, and what proves it whole where the device tells its length. Raises :class:`OutputTruncated`."""
    if answer.getheader("Content-Encoding", "identity") != "identity":
        raise CommandRejected(f"the answer to {call.target} is compressed, which was not asked for")
    body = bytearray()
    device.doing(f"reading the answer to {call.target}")
    while piece := answer.read(CHUNK_BYTES):
        body += piece
        device.check_size(len(body))
        device.doing(f"reading the answer to {call.target}, {len(body)} bytes so far")
    device.doing(f"reading the answer to {call.target}")
    if answer.chunked:
        return Fetched(bytes(body), f"{len(body)} bytes, the last chunk came")
    length = answer.getheader("Content-Length", "")
    if not length:
        return Fetched(bytes(body))
    if not length.isdecimal() or len(body) != int(length):
        raise OutputTruncated(
            f"the answer to {call.target} has {len(body)} bytes, and the device told {_printable(length)}", "try again"
        )
    return Fetched(bytes(body), f"{length} bytes, as the device told")


def _printable(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())[:60]
