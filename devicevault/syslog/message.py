"""What a syslog message says, whoever made it: RFC 5424, RFC 3164, and what devices send in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Bytes of a message that are looked at; RFC 5424 asks for 2048.
MAX_BYTES: Final = 8192

_PRIORITY: Final = re.compile(r"<\d{1,3}>")
#: VERSION TIMESTAMP HOSTNAME
_RFC_5424: Final = re.compile(r"1 (?:-|\S{1,40}) (\S{1,255}) ")
#: TIMESTAMP HOSTNAME, where the time may be that of RFC 5424, as relays write it.
_RFC_3164: Final = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S{0,20}) (\S{1,255}) "
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; hostile unless proven otherwise."""

    #: Who made it, as it says itself; empty where it does not say so in the form of either standard.
    hostname: str
    text: str


def parse(data: bytes) -> Message:
    """The message in these bytes. Never fails: what is in no form at all is text without a host name."""
    text = data[:MAX_BYTES].decode(errors="replace").strip("\0\r\n ")
    priority = _PRIORITY.match(text)
    if priority is not None:
        text = text[priority.end() :]
    head = _RFC_5424.match(text) or _RFC_3164.match(text)
    hostname = head[1].rstrip(":") if head is not None else ""
    return Message("" if hostname == "-" else hostname, text)
