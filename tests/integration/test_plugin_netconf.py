"""Configurations over NETCONF: a stand-in that frames its messages as RFC 6242 has it, or doesn't."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicevault.collector.collect import CollectorContext, collect
from devicevault.errors import CollectionError
from devicevault.messages import CollectResult, Status
from devicevault.plugins.netconf import Netconf
from devicevault.plugins.netconf_framing import Messages
from devicevault.plugins.netconf_reply import payload
from tests.collecting import CREDENTIALS, a_request, make_context, told
from tests.ssh_services import ssh_service

HEAD = (
    '<rpc-reply xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" xmlns:junos="http://xml.juniper.net/junos/22.4R1/junos"'
)
CONFIGURATION = """
<configuration xmlns="http://xml.juniper.net/xnm/1.1/xnm" junos:commit-seconds="{seconds}" \
junos:commit-localtime="2026-05-04 03:02:01 UTC" junos:commit-user="alice">
    <version>22.4R1</version>
    <system>
        <host-name>r1</host-name>
        <root-authentication>
            <encrypted-password>$6$cAnArY</encrypted-password>
        </root-authentication>
    </system>
    <snmp>
        <community>
            <name>cAnArY-community</name>
        </community>
    </snmp>
</configuration>
"""
DENIED = """<rpc-error><error-type>protocol</error-type><error-tag>access-denied</error-tag>
<error-severity>error</error-severity><error-message>permission denied for user backup</error-message></rpc-error>"""
SYSTEM = """<system-information><hardware-model>mx204</hardware-model><os-name>junos</os-name>
<os-version>22.4R1.10</os-version><serial-number>BM123</serial-number></system-information>"""
UNKNOWN = """<rpc-error><error-tag>operation-not-supported</error-tag><error-severity>error</error-severity>
<error-message>
syntax error
</error-message></rpc-error>"""


def in_chunks(message: bytes, size: int) -> bytes:
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\n#%d\n%s" % (len(piece), piece) for piece in pieces) + b"\n##\n"


class Router:
    """A NETCONF server that answers each operation by the first of ``answers`` that its text holds."""

    def __init__(self, answers: dict[str, str], *, base: str = "1.1", cut: int = 0, silent: bool = False) -> None:
        self.answers = answers
        self.base = base
        self.cut = cut
        self.silent = silent
        self.heard: list[str] = []

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.subsystem != "netconf":
            process.exit(1)
            return
        bases = ["1.0", "1.1"] if self.base == "1.1" else ["1.0"]
        capabilities = "".join(f"<capability>urn:ietf:params:netconf:base:{base}</capability>" for base in bases)
        process.stdout.write(f"<hello><capabilities>{capabilities}</capabilities></hello>]]>]]>".encode())
        await process.stdin.readuntil(b"]]>]]>")
        end = b"\n##\n" if self.base == "1.1" else b"]]>]]>"
        while not process.stdin.at_eof():
            asked = (await process.stdin.readuntil(end)).decode()
            operation = re.search(r"<rpc [^>]*>(.*)</rpc>", asked, re.DOTALL)
            assert operation
            self.heard.append(operation[1])
            if self.silent:
                await asyncio.Event().wait()
            body = next((answer for text, answer in self.answers.items() if text in operation[1]), "<ok/>")
            reply = f'\n{HEAD} message-id="1">{body.format(seconds=len(self.heard))}</rpc-reply>'.encode()
            framed = in_chunks(reply, 37) if self.base == "1.1" else reply + b"]]>]]>"
            process.stdout.write(framed[: -self.cut] if self.cut else framed)
            if self.cut or "close-session" in operation[1]:
                break
        process.exit(0)


def fetched(router: Callable[[Any], Any], context: CollectorContext, **fields: Any) -> CollectResult:
    with ssh_service(process=router) as server:
        asked = {"address": "127.0.0.1", "port": server.port, "credentials": ("lab",), **fields}
        return collect(a_request(platform="juniper_netconf", **asked), context)


@pytest.fixture
def context(tmp_path: Path) -> CollectorContext:
    return make_context(tmp_path, CREDENTIALS, attempts=1)


@pytest.mark.parametrize(("base", "proof"), [("1.0", "the message's end came"), ("1.1", "the last chunk came")])
def test_a_router_gives_its_configuration_in_xml(base: str, proof: str, context: CollectorContext) -> None:
    router = Router({"get-configuration": CONFIGURATION, "get-system": SYSTEM}, base=base)
    first, second = fetched(router, context), fetched(router, context)
    assert (first.status, first.error_message) == (Status.SUCCESS, "")
    assert proof in first.completeness
    [artifact] = first.artifacts
    assert "<host-name>r1</host-name>" in artifact.text
    assert "cAnArY" not in told(first)
    assert (first.facts.author, first.facts.authored_at) == ("alice", "2026-05-04 03:02:01 UTC")
    assert second.artifacts[0].digest == artifact.digest, "only the time of the commit differs"
    assert (first.facts.model, first.facts.version, first.facts.serial) == ("mx204", "22.4R1.10", "BM123")
    asked = ['<get-configuration database="committed" format="xml"/>', "<get-system-information/>", "<close-session/>"]
    assert router.heard == asked * 2
    assert first.host_key.startswith("ssh-ed25519 ")


def test_a_router_that_knows_the_standard_only_is_asked_by_the_standard(context: CollectorContext) -> None:
    data = "<data><configuration><system/>\n</configuration></data>".replace("<system/>", "<system>\n</system>")
    router = Router({"get-configuration": UNKNOWN, "get-config": data})
    result = fetched(router, context)
    assert result.status == Status.SUCCESS, result.error_message
    assert "the device answers 'syntax error'; trying the next" in told(result).replace("\\", "")


def test_a_login_that_may_not_look_is_told_so(context: CollectorContext) -> None:
    result = fetched(Router({"get": DENIED}), context)
    assert (result.status, result.error) == (Status.FAILURE, "rejected")
    assert "'permission denied for user backup'" in result.error_message


@pytest.mark.parametrize("base", ["1.0", "1.1"])
@pytest.mark.parametrize("cut", [1, 4, 40, 300])
def test_a_reply_that_is_cut_is_a_failure(base: str, cut: int, context: CollectorContext) -> None:
    result = fetched(Router({"get": CONFIGURATION}, base=base, cut=cut), context)
    assert (result.status, result.error) == (Status.FAILURE, "truncated"), result.error_message
    assert result.artifacts == ()


def test_a_router_that_hangs_ends_at_the_deadline(context: CollectorContext) -> None:
    result = fetched(Router({}, silent=True), context, deadline_s=2.0)
    assert result.error == "timeout"
    assert "while waiting for the answer to <get-configuration" in result.error_message


def test_a_host_without_netconf_is_told(context: CollectorContext) -> None:
    with ssh_service() as server:
        asked = {"address": "127.0.0.1", "port": server.port, "credentials": ("lab",)}
        result = collect(a_request(platform="juniper_netconf", **asked), context)
    assert "has no NETCONF on port" in result.error_message


@pytest.mark.parametrize(
    "ask",
    ["<edit-config/>", "<commit/>", "<load-configuration/>", "<kill-session/>", "no XML", "<get/><commit/>",
     "<request-reboot/>", "<get/></rpc><rpc><commit/>"],
)  # fmt: skip
def test_an_operation_that_might_change_a_device_is_refused(ask: str) -> None:
    assert list(Netconf().check({}, [ask])) != []


def test_what_is_cut_out_declares_its_namespaces() -> None:
    cut = payload(f"{HEAD}>\n{CONFIGURATION.format(seconds=1)}</rpc-reply>".encode())
    element = ElementTree.fromstring(cut)  # noqa: S314 - a text of this test
    assert element.get("{http://xml.juniper.net/junos/22.4R1/junos}commit-user") == "alice"
    assert payload(b"<rpc-reply><data/></rpc-reply>") == b"<data/>\n"


@pytest.mark.parametrize(
    "reply",
    [b"", b"<rpc-reply>", b"<hello/>", b"<rpc-reply><ok/></rpc-reply>", b"<rpc-reply><a/><b/></rpc-reply>",
     b'<!DOCTYPE x [<!ENTITY a "b">]><rpc-reply><data>&a;</data></rpc-reply>'],
)  # fmt: skip
def test_a_reply_that_holds_no_configuration_is_none(reply: bytes) -> None:
    with pytest.raises(CollectionError):
        payload(reply)


def test_a_description_in_an_old_encoding_is_kept_as_it_is() -> None:
    assert payload(b"<rpc-reply><data>caf\xe9</data></rpc-reply>") == b"<data>caf\xe9</data>\n"


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(1, 50), st.integers(1, 20))
def test_messages_come_out_as_they_went_in_however_they_are_cut(message: bytes, chunk: int, piece: int) -> None:
    stream = in_chunks(message, chunk) * 2
    pieces = iter([stream[at : at + piece] for at in range(0, len(stream), piece)])
    messages = Messages(lambda: next(pieces, b""), lambda size: None)
    messages.chunked = True
    assert [messages.next(), messages.next()] == [message, message]
    with pytest.raises(CollectionError):
        messages.next()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_whatever_a_device_sends_is_a_message_or_an_error(stream: bytes) -> None:
    pieces = iter([stream])
    messages = Messages(lambda: next(pieces, b""), lambda size: None)
    messages.chunked = True
    with pytest.raises(CollectionError):
        # The stream ends, so at the latest then.
        list(iter(messages.next, None))
