"""Configurations over HTTPS APIs: as the vendors document them, and as a bad day has them."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest

from devicevault.collector.collect import CollectorContext, collect
from devicevault.messages import CollectResult, Status
from devicevault.settings import JumpSettings
from tests.apis import Api, Request, api
from tests.collecting import a_request, make_context, told
from tests.openssh import openssh
from tests.servers import wait_until

TOKEN = "tOkEn-cAnArY-1234"
CREDENTIALS = f"""
[credentials.token]
username = "api"
password = "{TOKEN}"
[credentials.old]
username = "api"
password = "rEvOkEd-cAnArY"
"""
FORTIOS = b"""#config-version=FGT60F-7.4.1-FW-build2463-230830:opmode=0:vdom=0:user=api
#conf_file_ver=1234567890
config system global
    set hostname "fw1"
end
config system admin
    edit "admin"
        set password ENC SH2cAnArYcAnArYcAnArYcAnArYcAnArYcAnArYcAnArYcAnArY
    next
end
"""
PANOS = b"""<?xml version="1.0"?>
<config version="10.1.0" urldb="paloaltonetworks">
  <mgt-config>
    <users>
      <entry name="admin">
        <phash>$5$cAnArY</phash>
      </entry>
    </users>
  </mgt-config>
</config>
"""
PANOS_VERSION = b"""<response status="success"><result><sw-version>10.1.3-h1</sw-version><multi-vsys>off</multi-vsys>
<model>PA-440</model><serial>021201</serial></result></response>"""
OPNSENSE = b"""<?xml version="1.0"?>
<opnsense>
  <system>
    <hostname>fw3</hostname>
    <user><password>$2y$10$cAnArY</password></user>
  </system>
</opnsense>
"""


def backed_up(context: CollectorContext, server: Api, platform: str, **fields: Any) -> CollectResult:
    options = {"ca_file": server.ca_file, **fields.pop("options", {})}
    given = {"address": "127.0.0.1", "credentials": ("token",), "options": options, **fields}
    return collect(a_request(platform=platform, port=server.port, **given), context)


@pytest.fixture
def context(tmp_path: Path) -> CollectorContext:
    return make_context(tmp_path, CREDENTIALS, attempts=1)


def fortigate(request: Request) -> None:
    """FortiOS 7: a token in the header, POST for a backup, 405 for anything else, 401 for another token."""
    if request.headers["Authorization"] != f"Bearer {TOKEN}":
        request.give(401, b'{"http_status": 401}')
    elif request.path == "/api/v2/monitor/system/status":
        request.give(
            200, b'{"http_method":"GET","status":"success","serial":"FGT60FTK1","version":"v7.4.1","build":2463}'
        )
    elif request.command != "POST":
        request.give(405, b'{"http_status": 405}')
    else:
        request.give(200, FORTIOS)


def test_a_fortigate_gives_its_backup_for_a_token(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, fortigate) as server:
        result = backed_up(context, server, "fortinet_fortios_api")
    assert (result.status, result.error_message) == (Status.SUCCESS, "")
    [artifact] = result.artifacts
    assert 'set hostname "fw1"' in artifact.text
    assert "cAnArY" not in told(result)
    assert f"{len(FORTIOS)} bytes, as the device told" in result.completeness
    assert "every block is closed" in result.completeness
    assert not result.is_binary
    assert all(TOKEN not in seen.path for seen in server.seen)
    assert (result.facts.model, result.facts.version, result.facts.serial) == ("FGT60F", "7.4.1", "FGT60FTK1")


def test_an_old_fortigate_is_asked_in_its_own_way(context: CollectorContext, tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        if request.command == "GET":
            request.give(200, FORTIOS)
        else:
            request.give(405)

    with api(tmp_path, answer) as server:
        result = backed_up(context, server, "fortinet_fortios_api")
    assert result.status == Status.SUCCESS
    assert [seen.method for seen in server.seen] == ["POST", "GET", "GET"]
    assert "answers 405" in told(result)
    assert (result.facts.version, result.facts.serial) == ("7.4.1", "")


def test_pan_os_gives_its_configuration_for_a_key_in_a_header(context: CollectorContext, tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        request.give(200, PANOS_VERSION if request.path.endswith("type=version") else PANOS)

    with api(tmp_path, answer) as server:
        result = backed_up(context, server, "paloalto_panos_api")
    assert result.status == Status.SUCCESS, result.error_message
    assert {seen.headers["X-PAN-KEY"] for seen in server.seen} == {TOKEN}
    assert [seen.path for seen in server.seen] == ["/api/?type=export&category=configuration", "/api/?type=version"]
    assert (result.facts.model, result.facts.version, result.facts.serial) == ("PA-440", "10.1.3-h1", "021201")
    assert "cAnArY" not in told(result)


def test_an_error_that_comes_with_status_200_is_no_configuration(context: CollectorContext, tmp_path: Path) -> None:
    error = b'<response status = "error" code = "16"><msg><line>Unauthorized request</line></msg></response>'
    with api(tmp_path, lambda request: request.give(200, error)) as server:
        result = backed_up(context, server, "paloalto_panos_api")
    assert (result.status, result.error) == (Status.FAILURE, "rejected")


def test_opnsense_gives_its_configuration_for_key_and_secret(context: CollectorContext, tmp_path: Path) -> None:
    versions = b'{"name":"fw3.example.net","versions":["OPNsense 24.7.2-amd64","FreeBSD 14.1-RELEASE-p3"]}'

    def answer(request: Request) -> None:
        request.give(200, versions if "systemInformation" in request.path else OPNSENSE)

    with api(tmp_path, answer) as server:
        result = backed_up(context, server, "opnsense_api")
    assert result.status == Status.SUCCESS, result.error_message
    assert result.facts.version == "24.7.2"
    seen = server.seen[0]
    assert base64.b64decode(seen.headers["Authorization"].removeprefix("Basic ")).decode() == f"api:{TOKEN}"
    assert result.artifacts[0].media_type == "application/xml"
    assert "cAnArY" not in told(result)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, "auth", "refuses credential 'token'"),
        (403, "rejected", "give the account of credential 'token' the right"),
        (404, "rejected", "answers 404"),
        (302, "rejected", "answers 302"),
        (429, "unreachable", "answers 429"),
        (500, "unreachable", "answers 500"),
        (503, "unreachable", "answers 503"),
    ],
)
def test_each_status_is_told_for_what_it_means(
    status: int, error: str, words: str, context: CollectorContext, tmp_path: Path
) -> None:
    with api(tmp_path, lambda request: request.give(status, b"no", Location="https://192.0.2.1/")) as server:
        result = backed_up(context, server, "fortinet_fortios_api")
    assert (result.status, result.error) == (Status.FAILURE, error)
    assert words in result.error_message
    assert TOKEN not in told(result)


def test_what_may_go_better_is_tried_again_and_a_refused_token_is_not(tmp_path: Path) -> None:
    answers = iter([503, 200])

    def answer(request: Request) -> None:
        request.give(next(answers), FORTIOS)

    with api(tmp_path, answer) as server:
        result = backed_up(make_context(tmp_path, CREDENTIALS), server, "fortinet_fortios_api")
        assert (result.status, result.attempt) == (Status.SUCCESS, 2)
    with api(tmp_path, lambda request: request.give(401)) as server:
        refused = backed_up(make_context(tmp_path, CREDENTIALS), server, "fortinet_fortios_api")
        assert (refused.error, refused.attempt, len(server.seen)) == ("auth", 1, 1)


def test_the_next_credential_is_tried_where_one_is_refused(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, fortigate) as server:
        result = backed_up(context, server, "fortinet_fortios_api", credentials=("old", "token"))
    assert result.status == Status.SUCCESS
    assert "trying credential 'token'" in told(result)
    assert "rEvOkEd" not in told(result)


def cut(request: Request) -> None:
    request.give(200, FORTIOS[:-100], Content_Length=str(len(FORTIOS)))


def cut_chunks(request: Request) -> None:
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    request.wfile.write(b"%x\r\n%s\r\n%x\r\n%s" % (50, FORTIOS[:50], len(FORTIOS) - 50, FORTIOS[50:-20]))


@pytest.mark.parametrize("answer", [cut, cut_chunks])
def test_an_answer_that_is_cut_is_a_failure(answer: Any, context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, answer) as server:
        result = backed_up(context, server, "fortinet_fortios_api")
    assert (result.status, result.error) == (Status.FAILURE, "truncated"), result.error_message
    assert result.artifacts == ()


@pytest.mark.parametrize(
    ("platform", "text"),
    [("fortinet_fortios_api", FORTIOS), ("paloalto_panos_api", PANOS), ("opnsense_api", OPNSENSE)],
)
def test_a_configuration_cut_at_any_of_20_places_is_none(
    platform: str, text: bytes, context: CollectorContext, tmp_path: Path
) -> None:
    lengths = [len(text) * number // 20 for number in range(20)]
    cuts = iter(lengths)

    def answer(request: Request) -> None:
        request.give(200, text[: next(cuts)], Content_Length=str(len(text)))

    with api(tmp_path, answer) as server:
        errors = [backed_up(context, server, platform).error for _ in lengths]
    assert errors == ["truncated"] * len(lengths)


def test_a_text_cut_between_blocks_is_found_by_its_length_alone(context: CollectorContext, tmp_path: Path) -> None:
    """It ends with ``end``, and every block is closed."""
    half = FORTIOS[: FORTIOS.index(b"config system admin")]

    with api(tmp_path, lambda request: request.give(200, half, Content_Length=str(len(FORTIOS)))) as server:
        assert backed_up(context, server, "fortinet_fortios_api").error == "truncated"


def test_an_answer_without_a_length_is_read_twice(context: CollectorContext, tmp_path: Path) -> None:
    texts = iter([FORTIOS, FORTIOS, FORTIOS, FORTIOS.replace(b"fw1", b"fw2")])

    def answer(request: Request) -> None:
        if request.command == "GET":  # it keeps its serial number to itself
            request.give(403)
            return
        request.send_response(200)
        request.end_headers()
        request.wfile.write(next(texts))

    with api(tmp_path, answer) as server:
        whole = backed_up(context, server, "fortinet_fortios_api")
        assert (whole.status, len(server.seen)) == (Status.SUCCESS, 3)
        assert "stays unknown" in told(whole)
        assert "two readings agree" in whole.completeness
        assert backed_up(context, server, "fortinet_fortios_api").error == "truncated"


def test_a_chunked_answer_is_whole_with_its_last_chunk(context: CollectorContext, tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(FORTIOS), FORTIOS))

    with api(tmp_path, answer) as server:
        result = backed_up(context, server, "fortinet_fortios_api")
    assert "the last chunk came" in result.completeness


def test_an_answer_that_never_ends_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"x" * 65536)

    with api(tmp_path, answer) as server:
        result = backed_up(
            make_context(tmp_path, CREDENTIALS, max_artifact_mb=1, attempts=1), server, "fortinet_fortios_api"
        )
    assert result.error == "too_large"


def test_a_device_that_hangs_ends_at_the_deadline(context: CollectorContext, tmp_path: Path) -> None:
    done = threading.Event()

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(FORTIOS)))
        request.end_headers()
        request.wfile.write(FORTIOS[:100])
        done.wait(60)

    with api(tmp_path, answer) as server:
        try:
            result = backed_up(context, server, "fortinet_fortios_api", deadline_s=1.5)
        finally:
            done.set()
    assert result.error == "timeout"
    assert "while reading the answer to /api/v2/" in result.error_message


def test_devices_that_hang_leave_nothing_behind(context: CollectorContext, tmp_path: Path) -> None:
    def hung(times: int) -> list[str]:
        done = threading.Event()

        def answer(request: Request) -> None:
            done.wait(60)

        with api(tmp_path, answer) as server:
            try:
                results = [backed_up(context, server, "fortinet_fortios_api", deadline_s=0.5) for _ in range(times)]
            finally:
                done.set()
        return [result.error for result in results]

    def held() -> tuple[int, int]:
        return sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()

    hung(1)  # what is opened once, such as the thread that watches deadlines, stays
    before = held()
    assert hung(5) == ["timeout"] * 5
    wait_until(
        lambda: all(map(int.__le__, held(), before)),
        20,
        or_say=lambda: f"{held()} descriptors and threads, {before} before",
    )


def test_an_api_is_asked_through_a_jump_host(tmp_path: Path) -> None:
    with openssh(tmp_path / "sshd") as hop, api(tmp_path, fortigate) as server:
        context = make_context(tmp_path, CREDENTIALS + hop.credential("hop"), attempts=1, jump=("hop",))
        jump = JumpSettings(address="127.0.0.1", port=hop.port, credential="hop", host_key=(hop.host_key(),))
        settings = context.settings.model_copy(update={"jumps": {"hop": jump}})
        context = CollectorContext(settings, context.credentials, context.platforms, context.sealer)
        result = backed_up(context, server, "fortinet_fortios_api")
        assert (result.status, hop.logins) == (Status.SUCCESS, 1), result.error_message
        assert "through hop as" in told(result)
        stranger = {"ca_file": "", "fingerprint": "sha256:" + "0" * 64}
        assert backed_up(context, server, "fortinet_fortios_api", options=stranger).error == "host_key"


def test_no_token_goes_to_whom_no_authority_knows(context: CollectorContext, tmp_path: Path) -> None:
    with api(tmp_path, fortigate) as server:
        result = backed_up(context, server, "fortinet_fortios_api", options={"ca_file": ""})
        assert (result.status, result.error) == (Status.FAILURE, "host_key")
        assert server.fingerprint in result.error_message
        assert server.seen == []
        pinned = {"ca_file": "", "fingerprint": server.fingerprint}
        assert backed_up(context, server, "fortinet_fortios_api", options=pinned).status == Status.SUCCESS
        colons = server.fingerprint.removeprefix("sha256:").upper()
        pinned["fingerprint"] = ":".join(colons[at : at + 2] for at in range(0, len(colons), 2))
        assert backed_up(context, server, "fortinet_fortios_api", options=pinned).status == Status.SUCCESS
        wrong = {"ca_file": "", "fingerprint": "sha256:" + "0" * 64}
        seen = len(server.seen)
        result = backed_up(context, server, "fortinet_fortios_api", options=wrong)
        assert (result.error, len(server.seen)) == ("host_key", seen)


def test_a_certificate_for_another_name_is_refused_unless_that_name_is_said(
    context: CollectorContext, tmp_path: Path
) -> None:
    with api(tmp_path, fortigate, "fw1.example.net") as server:
        assert backed_up(context, server, "fortinet_fortios_api").error == "host_key"
        named = {"server_name": "fw1.example.net"}
        assert backed_up(context, server, "fortinet_fortios_api", options=named).status == Status.SUCCESS


def test_what_is_no_https_is_told(context: CollectorContext, tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    with api(tmp_path, answer) as server:
        result = backed_up(context, server, "fortinet_fortios_api")
        assert "does not speak HTTP as it should" in result.error_message
        missing = {"ca_file": str(tmp_path / "nowhere.pem")}
        result = backed_up(context, server, "fortinet_fortios_api", options=missing)
        assert "nowhere.pem can't be used: No such file or directory" in result.error_message
