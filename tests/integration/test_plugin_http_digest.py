"""Switches that know no TLS: read over plain HTTP where somebody said so, the password proven and never sent."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.messages import CollectResult, Status
from devicevault.plugins.https import Https
from tests.apis import Api, Request, api
from tests.collecting import a_request, make_context, told

PASSWORD = "wOrD-cAnArY-1234"
CREDENTIALS = f"""
[credentials.switch]
username = "admin"
password = "{PASSWORD}"
[credentials.old]
username = "admin"
password = "rEvOkEd-cAnArY"
"""
#: Of a CSS106 with SwOS 2: names and communities are hexadecimal; one line without an end.
SWOS = (
    b"vlan.b:[{nm:'7573657273',mbr:0x3f,vid:0x0a,piso:0x00,lrn:0x01,mrr:0x00,igmp:0x00}],lacp.b:{mode:[0x00,0x00],"
    b"sgrp:[0x00,0x00]},.pwd.b:{pwd:'63416e4172593031'},snmp.b:{en:0x01,com:'63416e4172593032',ci:'',loc:'7231'},"
    b"rstp.b:{ena:0x3f},link.b:{en:0x3f,an:0x3f,nm:['506f727431','506f727432']},sys.b:{id:'7377697463682d31',"
    b"ip:0x010200c0},acl.b:[]"
)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def swos(request: Request) -> None:
    """The web server of SwOS: MD5, and 401 for whoever does not answer its challenge."""
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
    first = md5(f"admin:CSS106:{PASSWORD}")
    second = md5(f"{request.command}:{request.path}")
    answer = ":".join((first, "1234abcd", given.get("nc", ""), given.get("cnonce", ""), "auth", second))
    if given.get("response") == md5(answer):
        request.give(200, SWOS)
    else:
        request.give(401, WWW_Authenticate='Digest realm="CSS106", qop="auth", nonce="1234abcd", stale=FALSE')


def backed_up(context: CollectorContext, server: Api, **fields: Any) -> CollectResult:
    given = {"address": "127.0.0.1", "credentials": ("switch",), "options": {"plain_http": True}, **fields}
    return collect(a_request(platform="mikrotik_swos", port=server.port, **given), context)


@pytest.fixture
def context(tmp_path: Path) -> CollectorContext:
    return make_context(tmp_path, CREDENTIALS, attempts=1)


def test_a_switch_gives_its_backup_for_a_digest(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, swos, plain=True) as server:
        result = backed_up(context, server)
        assert (result.status, result.error_message) == (Status.SUCCESS, "")
        assert [seen.path for seen in server.seen] == ["/backup.swb"] * 2
        assert all(PASSWORD not in str(seen.headers) for seen in server.seen)
    [artifact] = result.artifacts
    assert f"{len(SWOS)} bytes, as the device told" in result.completeness
    assert ".pwd.b:{pwd:'<secret hidden>'},snmp.b:{en:0x01,com:'<secret hidden>',ci:'',loc:'7231'}" in artifact.text
    assert "63416e41725930" not in told(result)
    assert [line.severity for line in result.log if "Plain HTTP: everybody" in line.message] == ["warning"]


def test_a_wrong_password_has_the_next_credential_tried(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, swos, plain=True) as server:
        assert backed_up(context, server, credentials=("old", "switch")).status == Status.SUCCESS
        refused = backed_up(context, server, credentials=("old",))
    assert (refused.error, "refuses credential 'old'" in refused.error_message) == ("auth", True)


def test_nothing_is_asked_over_plain_http_unless_the_device_says_so(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, swos, plain=True) as server:
        for options in ({}, {"plain_http": "yes"}):
            result = backed_up(context, server, options=options)
            assert (result.status, result.error) == (Status.FAILURE, "platform")
            assert "say options.plain_http = true" in result.error_message
        assert server.seen == []


def test_no_password_goes_to_whom_asks_for_it_in_the_clear(context: CollectorContext, tmp_path: Path) -> None:
    with api(
        tmp_path, lambda request: request.give(401, WWW_Authenticate='Basic realm="CSS106"'), plain=True
    ) as server:
        result = backed_up(context, server)
        assert (result.status, result.error) == (Status.FAILURE, "rejected")
        assert "does not ask for a digest" in result.error_message
        assert all("Authorization" not in seen.headers for seen in server.seen)


def test_a_backup_that_is_cut_is_none(context: CollectorContext, tmp_path: Path) -> None:
    lengths = [len(SWOS) * part // 20 for part in range(20)]
    cuts = iter(lengths)

    def answer(request: Request) -> None:
        if "Authorization" in request.headers:
            request.give(200, SWOS[: next(cuts)], Content_Length=str(len(SWOS)))
        else:
            swos(request)

    with api(tmp_path, answer, plain=True) as server:
        assert [backed_up(context, server).error for _ in lengths] == ["truncated"] * len(lengths)


@pytest.mark.parametrize("authorization", ["basic", "bearer", "X-Token"])
def test_a_page_may_not_send_a_password_in_the_clear(authorization: str) -> None:
    [complaint] = Https().check({"scheme": "http", "authorization": authorization}, ["/backup"])
    assert complaint == 'scheme: over plain http a credential goes as a digest only; say authorization = "digest"'
