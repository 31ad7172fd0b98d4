"""What a NETCONF reply holds, cut out as it was sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from devicevault.errors import CommandRefused, CommandRejected, OutputTruncated

_TOLD_MAX: Final = 200


@dataclass
class _Child:
    """An element right below the root: where it begins, where its last tag begins, and what an error tells."""

    name: str
    #: With its prefix.
    tag: str
    attributes: dict[str, str]
    begin: int
    last_tag: int = 0
    texts: dict[str, str] = field(default_factory=dict)


@dataclass
class Document:
    """An XML document's root and what is right below it."""

    root: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[_Child] = field(default_factory=list)


def read(xml: bytes) -> Document:
    """Raises :class:`ValueError` for what is no well-formed XML, or has a document type, which NETCONF forbids."""
    try:
        return _read(xml, None)
    except ValueError:
        # Some devices say UTF-8 and send what was typed into a description in another age.
        return _read(xml, "iso-8859-1")


def payload(reply: bytes) -> bytes:
    """The reply's data, with the namespaces declared that it takes from around it.

    Raises :class:`OutputTruncated`, and :class:`CommandRejected` with the device's own error.
    """
    reply = reply.lstrip()  # an XML declaration has to come first, and offsets count from it
    try:
        document = read(reply)
    except ValueError as error:
        raise OutputTruncated(f"the device's reply is no whole XML: {error}", "try again") from None
    if document.root != "rpc-reply":
        raise CommandRejected(f"the device answered with <{document.root}> and no reply")
    for child in document.children:
        if child.name == "rpc-error" and child.texts.get("error-severity", "error") != "warning":
            raise _error(child)
    data = [child for child in document.children if child.name not in ("rpc-error", "ok")]
    if len(data) != 1:
        raise CommandRejected(f"the device's reply holds {len(data)} elements in the place of a configuration")
    [child] = data
    # expat tells where the last tag begins; for an element that is empty, where it ends.
    is_closed = reply.startswith(f"</{child.tag}".encode(), child.last_tag)
    end = reply.index(b">", child.last_tag) + 1 if is_closed else child.last_tag
    cut = reply[child.begin : end]
    outer = {
        name: value
        for name, value in document.attributes.items()
        if name.startswith("xmlns:") and name not in child.attributes and f"{name[6:]}:".encode() in cut
    }
    declared = "".join(f" {name}={quoteattr(value)}" for name, value in sorted(outer.items())).encode()
    head = next(at for at, sign in enumerate(cut) if sign in b" \t\r\n/>")
    return cut[:head] + declared + cut[head:] + b"\n"


def _error(child: _Child) -> CommandRejected:
    told = " ".join(child.texts.get("error-message", "").split()) or child.texts.get("error-tag", "an error")
    said = f"the device answers {''.join(sign for sign in told if sign.isprintable())[:_TOLD_MAX]!r}"
    if child.texts.get("error-tag") == "access-denied":
        return CommandRefused(said, "give the login the right to read the configuration")
    return CommandRejected(said, "check that the platform fits the device and its release")


def _read(xml: bytes, encoding: str | None) -> Document:
    parser = expat.ParserCreate(encoding)
    document = Document()
    path: list[str] = []

    def started(name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if not path:
            document.root, document.attributes = local, attributes
        elif len(path) == 1:
            document.children.append(_Child(local, name, attributes, parser.CurrentByteIndex))
        path.append(local)

    def ended(name: str) -> None:
        path.pop()
        if len(path) == 1:
            document.children[-1].last_tag = parser.CurrentByteIndex

    def text(data: str) -> None:
        if len(path) == 3 and path[1] == "rpc-error":
            texts = document.children[-1].texts
            texts[path[2]] = (texts.get(path[2], "") + data).strip(" \t\r\n") if len(data) < 4096 else ""

    def doctype(*_: object) -> None:
        raise ValueError("it has a document type")

    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from None
    return document
