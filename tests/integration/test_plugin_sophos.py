"""Sophos Firewall over its XML API, as the vendor and public clients of it tell, and with what may go wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.messages import CollectResult, Status
from devicevault.plugins.sophos import BATCH, Sophos
from tests.apis import Api, Request, api
from tests.collecting import a_request, make_context, told

PASSWORD = "w<&>D-cAnArY-1234"
CREDENTIALS = f"""
[credentials.api]
username = "backup"
password = "{PASSWORD}"
[credentials.old]
username = "backup"
password = "rEvOkEd-cAnArY"
"""
ENTITIES = {
    "Zone": "<Name>LAN</Name>",
    "Interface": "<Name>Port1</Name>\n    <IPAddress>192.0.2.1</IPAddress>",
    "FirewallRule": "<Name>out</Name>\n    <Status>Enable</Status>",
    "SNMPCommunity": "<Name>cAnArY01</Name>",
    "User": '<Name>anna</Name>\n    <Password hashform="mode1">$sfos$cAnArY02</Password>',
    "VPNIPSecConnection": "<PresharedKey>cAnArY03</PresharedKey>",
}


def entity(name: str) -> str:
    told = ENTITIES.get(name, "<Status>No. of records Zero.</Status>")
    if name == "CellularWAN":
        told = '<Status code="529">Input request module is Invalid</Status>'
    return f'  <{name} transactionid="">\n    {told}\n  </{name}>'


def response(login: str, rest: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response APIVersion="2200.1" IPS_CAT_VER="1">\n  <Login>\n    '
        f"<status>{login}</status>\n  </Login>\n{rest}\n</Response>\n"
    ).encode()


def asked(request: Request) -> str:
    body = request.rfile.read(int(request.headers["Content-Length"])).decode()
    return parse_qs(body)["reqxml"][0]


def answered(xml: str) -> bytes:
    if "<Password>w&lt;&amp;&gt;D-cAnArY-1234</Password>" not in xml:
        return response("Authentication Failure", "")
    names = re.findall(r"<(\w+)></\1>", xml.partition("<Get>")[2])
    return response("Authentication Successful", "\n".join(entity(name) for name in names))


def firewall(request: Request) -> None:
    request.give(200, answered(asked(request)))


def backed_up(context: CollectorContext, server: Api, **fields: Any) -> CollectResult:
    given = {"address": "127.0.0.1", "credentials": ("api",), "options": {"ca_file": server.ca_file}, **fields}
    return collect(a_request(platform="sophos_sfos", port=server.port, **given), context)


@pytest.fixture
def context(tmp_path: Path) -> CollectorContext:
    return make_context(tmp_path, CREDENTIALS, attempts=1)


def test_a_firewall_tells_all_its_entities(context: CollectorContext, tmp_path: Path) -> None:
    requests: list[str] = []

    def answer(request: Request) -> None:
        requests.append(asked(request))
        request.give(200, answered(requests[-1]))

    with api(tmp_path, answer) as server:
        result = backed_up(context, server)
        assert {(seen.method, seen.path) for seen in server.seen} == {("POST", "/webconsole/APIController")}
    assert (result.status, result.error_message) == (Status.SUCCESS, "")
    [artifact] = result.artifacts
    assert artifact.text.startswith('<Response APIVersion="2200.1"')
    assert artifact.text.index("<Zone>") < artifact.text.index("<FirewallRule>")
    assert artifact.text.count("</Response>") == 1
    assert "<IPAddress>192.0.2.1</IPAddress>" in artifact.text
    assert "CellularWAN" not in artifact.text
    assert "does not know CellularWAN" in told(result)
    assert re.findall("cAnArY..", told(result)) == []
    assert "answers, each to its end" in result.completeness
    assert result.facts.version == "2200.1"
    assert all(request.count("</") - 5 <= BATCH and "<Set" not in request for request in requests)


def test_a_refused_password_has_the_next_credential_tried(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, firewall) as server:
        assert backed_up(context, server, credentials=("old", "api")).status == Status.SUCCESS
        refused = backed_up(context, server, credentials=("old",))
    assert (refused.error, "rEvOkEd" in told(refused)) == ("auth", False)


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (
            b'<Response><Status code="532">You need to enable the API Configuration</Status></Response>',
            "rejected",
            "API",
        ),
        (response("Authentication Successful", '<Status code="534">not from here</Status>'), "rejected", "address"),
        (response("Authentication Successful", '<Status code="599">x</Status>'), "rejected", "599"),
        (b"<html>login</html>", "truncated", "</Response>"),
        (b"<Response></Response>", "rejected", "does not answer as the API"),
    ],
)
def test_what_it_says_instead_is_told(
    body: bytes, error: str, words: str, context: CollectorContext, tmp_path: Path
) -> None:
    with api(tmp_path, lambda request: request.give(200, body)) as server:
        result = backed_up(context, server)
    assert (result.status, result.error) == (Status.FAILURE, error)
    assert words in result.error_message


def test_an_answer_that_is_cut_is_a_failure(context: CollectorContext, tmp_path: Path) -> None:
    cuts = iter(range(20))

    def answer(request: Request) -> None:
        body = answered(asked(request))
        request.send_response(200)  # and tells no length
        request.end_headers()
        request.wfile.write(body[: len(body) * next(cuts) // 20])

    with api(tmp_path, answer) as server:
        assert {backed_up(context, server).error for _ in range(20)} == {"truncated"}


@pytest.mark.parametrize("ask", ["", "Zone/><Set", "Zone;Interface", "<Get>"])
def test_nothing_but_names_is_asked_for(ask: str) -> None:
    assert len(list(Sophos().check({}, [ask]))) == 1
