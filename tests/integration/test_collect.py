"""Collections over SSH from simulated devices, without broker, Redis and database."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from devicevault.collector.collect import collect
from devicevault.collector.normalise import normalise
from devicevault.collector.steps import HIDDEN
from devicevault.compression import decompress
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectResult
from devicevault.settings import QueueSettings
from tests.collecting import CREDENTIALS, PLATFORMS, make_context, request_for, told


def collected(device: SimulatedDevice, folder: Path, file: str = CREDENTIALS, /, **fields: Any) -> CollectResult:
    """One collection from one device; ``ssh`` among the fields holds settings."""
    ssh = fields.pop("ssh", {})
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device, **fields), make_context(folder, file, **ssh))


@pytest.mark.parametrize("platform", DIALECTS)
def test_every_platform_is_read_whole_without_a_change_to_the_device(platform: str, tmp_path: Path) -> None:
    device = SimulatedDevice(f"sw-{platform.replace('_', '-')}", platform, enable="open sesame")
    result = collected(device, tmp_path)
    assert (result.status, result.error_message) == ("success", "")
    page = PLATFORMS.get(platform)
    # Headers and end marks around it are the device's own; all it holds must be there, in order, line for line.
    lines = iter(result.device_config.splitlines())
    assert [line for line in normalise(page, device.configuration).text.splitlines() if line not in lines] == []
    assert device.changes == []
    assert result.completeness
    assert result.rules_digest == page.digest


def test_the_original_keeps_every_byte_and_the_text_no_secret(tmp_path: Path) -> None:
    secrets = "username admin secret 9 $9$cAnArY\nsnmp-server community cAnArY-2 RO\n"
    secrets += "interface Vlan1\n description Büro\nend\n"
    device = SimulatedDevice("r1", configuration="version 17.9\nhostname r1\n" + secrets)
    result = collected(device, tmp_path)
    original = decompress(result.artifacts[0].original).decode()
    assert secrets.removesuffix("end\n") in original
    assert "cAnArY" not in result.device_config
    assert "Büro" in result.device_config
    assert result.artifacts[0].key_id == "plain"


def test_a_result_tells_where_it_came_from(tmp_path: Path) -> None:
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        result = collect(request_for(fleet, device, run_id="run-1"), make_context(tmp_path))
        assert result.host_key == fleet.host_key("r1")
    assert (result.run_id, result.address, result.worker, result.attempt) == ("run-1", "127.0.0.1", "worker-1", 1)
    assert result.facts.version == "17.09.04a"
    assert result.started_at is not None
    assert result.collection_duration_ms > 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("cut", "truncated"),
        ("empty", "empty"),
        ("error_text", "rejected"),
        ("refuse_auth", "auth"),
        ("hang_up", "unreachable"),
        ("close", "unreachable"),
    ],
)
def test_a_faulty_device_ends_as_its_own_error_without_an_artifact(fault: str, error: str, tmp_path: Path) -> None:
    result = collected(SimulatedDevice("r1", fault=fault), tmp_path, ssh={"attempts": 1})
    assert (result.status, result.error, result.artifacts) == ("failure", error, ())
    assert result.log[-1].severity == "error"


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        ("stall", "reading the answer to 'show running-config'"),
        ("auth_hang", "logging in"),
        ("no_prompt", "waiting for the first prompt"),
    ],
)
def test_a_hung_device_ends_at_the_deadline_and_the_sentence_says_where(fault: str, step: str, tmp_path: Path) -> None:
    result = collected(
        SimulatedDevice("r1", fault=fault), tmp_path, deadline_s=2.0, ssh={"connect_timeout_s": 1.5, "attempts": 1}
    )
    assert (result.error, result.attempt) == ("timeout", 1)
    assert f"were over while {step}" in result.error_message
    assert result.collection_duration_ms < 9_000, "netmiko's own timeouts are 10 s and more"


def test_no_request_keeps_a_session_beyond_what_the_broker_waits_for(tmp_path: Path) -> None:
    """A forged or careless deadline would have the broker give the running task to another worker."""
    device = SimulatedDevice("r1", fault="stall")
    context = make_context(tmp_path)
    queue = QueueSettings(amqp_consumer_timeout_s=4)
    with Fleet([device]) as fleet:
        short = replace(context, settings=context.settings.model_copy(update={"queue": queue}))
        result = collect(request_for(fleet, device, deadline_s=1e9), short)
    assert result.error == "timeout"
    assert result.collection_duration_ms < 9_000


def test_a_fault_of_our_own_ends_in_a_row_and_tells_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin's or library's exception may quote what the device sent; only its kind and place are logged."""
    device = SimulatedDevice("r1")

    def fail(kind: str, text: str) -> None:
        raise RuntimeError("".join(["cAn", "ArY"]))

    with Fleet([device]) as fleet:
        result = collect(request_for(fleet, device), make_context(tmp_path, transcript=fail))
    assert (result.status, result.error) == ("failure", "internal")
    assert "RuntimeError" in result.error_message
    assert "steps.py" in caplog.text
    assert "cAnArY" not in caplog.text + told(result)


def test_a_device_without_a_banner_is_unreachable_after_the_connect_timeout(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault="no_banner")
    result = collected(device, tmp_path, ssh={"connect_timeout_s": 1, "attempts": 1})
    assert result.error == "unreachable"
    assert "no SSH banner" in result.error_message
    assert result.collection_duration_ms < 9_000


def test_a_configuration_without_an_end_is_too_large(tmp_path: Path) -> None:
    result = collected(SimulatedDevice("r1", fault="flood"), tmp_path, ssh={"max_artifact_mb": 0.5})
    assert result.error == "too_large"
    assert "ssh.max_artifact_mb" in result.error_message


@pytest.mark.parametrize("fault", ["lookalike", "slow"])
def test_the_prompt_inside_the_text_or_between_packets_does_not_end_it(fault: str, tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault=fault)
    result = collected(device, tmp_path)
    assert result.status == "success"
    assert result.device_config.endswith("end\n")
    assert ("console" in result.device_config) == (fault == "lookalike")


def test_a_device_that_is_back_for_the_second_attempt_is_collected(tmp_path: Path) -> None:
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        request = request_for(fleet, device)
        fleet.unplug("r1")
        context = make_context(
            tmp_path, transcript=lambda kind, text: None, attempts=2, connect_timeout_s=1, deadline_s=20
        )
        handler = _OnWarning(lambda: fleet.plug("r1"))
        logging.getLogger("devicevault.collector").addHandler(handler)
        try:
            result = collect(request, context)
        finally:
            logging.getLogger("devicevault.collector").removeHandler(handler)
    assert (result.status, result.attempt) == ("success", 2)
    assert any("trying again" in line.message for line in result.log)


class _OnWarning(logging.Handler):
    """Does something at the first warning: the moment a first attempt has failed."""

    def __init__(self, action: Any) -> None:
        super().__init__(logging.WARNING)
        self.action = action

    def emit(self, record: logging.LogRecord) -> None:
        self.action()


def test_a_refused_password_is_tried_once_and_never_again(tmp_path: Path) -> None:
    """Hammering a device with a wrong password locks the account out, on every device of the site."""
    device = SimulatedDevice("r1", password="another")
    result = collected(device, tmp_path, ssh={"attempts": 5})
    assert result.error == "auth"
    assert device.refusals == 1


TWO_CREDENTIALS = (
    CREDENTIALS
    + """
[credentials.old]
username = "backup"
password = "expired"
"""
)


def test_credentials_are_tried_in_order_until_one_fits(tmp_path: Path) -> None:
    device = SimulatedDevice("r1")
    result = collected(device, tmp_path, TWO_CREDENTIALS, credentials=("old", "lab"))
    assert result.status == "success"
    assert (device.refusals, device.logins) == (1, 1)
    assert any("trying credential 'lab'" in line.message for line in result.log)


def test_an_encrypted_key_opens_a_session_without_a_password(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    text = key.export_private_key(passphrase="key canary").decode()
    credentials = f'[credentials.lab]\nusername = "backup"\nkey = """\n{text}"""\npassphrase = "key canary"\n'
    device = SimulatedDevice("r1", authorized_key=key.export_public_key().decode(), password="nobody knows")
    assert collected(device, tmp_path, credentials).status == "success"
    without = credentials.replace('passphrase = "key canary"\n', "")
    result = collected(device, tmp_path, without)
    assert result.error == "credential"
    assert "passphrase" in result.error_message


def test_a_server_that_only_asks_questions_is_answered(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", password_methods=("keyboard-interactive",))
    assert collected(device, tmp_path).status == "success"


def test_a_wrong_or_missing_enable_secret_is_told_apart(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", enable="something else")
    assert collected(device, tmp_path).error == "auth"
    without = collected(device, tmp_path, CREDENTIALS.replace("enable", "#"))
    assert without.error == "credential"
    assert "add `enable`" in without.error_message


def test_a_credential_bound_to_a_network_is_never_sent_elsewhere(tmp_path: Path) -> None:
    device = SimulatedDevice("r1")
    result = collected(device, tmp_path, CREDENTIALS + 'networks = ["10.0.0.0/8"]\n')
    assert result.error == "credential"
    assert (device.logins, device.refusals) == (0, 0)


def test_another_host_key_than_the_pinned_one_gets_no_password(tmp_path: Path) -> None:
    device = SimulatedDevice("r1")
    with Fleet([device]) as fleet:
        pinned = fleet.host_key("r1")
        context = make_context(tmp_path)
        assert collect(request_for(fleet, device, host_keys=(pinned,)), context).status == "success"
        fleet.replace_host_key("r1")
        result = collect(request_for(fleet, device, host_keys=(pinned,)), context)
    assert result.error == "host_key"
    assert "SHA256:" in result.error_message
    assert (device.logins, device.refusals) == (1, 0)


@pytest.mark.parametrize(("policy", "error"), [("strict", "host_key"), ("accept-new", ""), ("off", "")])
def test_an_unknown_host_key_is_taken_unless_strict(policy: str, error: str, tmp_path: Path) -> None:
    result = collected(SimulatedDevice("r1"), tmp_path, ssh={"host_keys": policy})
    assert result.error == error
    # Also of a key that was refused: whoever finds it right accepts it. Only a success pins one.
    assert result.host_key.startswith("ssh-ed25519 ")


def test_an_old_device_is_refused_with_the_setting_that_lets_it_in(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", algorithms="legacy")
    refused = collected(device, tmp_path)
    assert (refused.error, refused.attempt) == ("unreachable", 1)
    assert 'set algorithms = "legacy"' in refused.error_message
    allowed = collected(device, tmp_path, options={"algorithms": "legacy"})
    assert allowed.status == "success"
    warning = next(line.message for line in allowed.log if line.severity == "warning")
    assert "aes128-cbc" in warning
    assert "diffie-hellman-group14-sha1" in warning


def test_no_secret_of_a_credential_appears_in_result_log_or_transcript(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    canaries = ("pAsSwOrD-canary", "eNaBlE-canary")
    credentials = f'[credentials.lab]\nusername = "backup"\npassword = "{canaries[0]}"\nenable = "{canaries[1]}"\n'
    device = SimulatedDevice("r1", password=canaries[0], enable=canaries[1])
    device.configuration = device.configuration.replace("end\n", f"banner motd {' '.join(canaries)}\nend\n")
    seen: list[str] = []
    with Fleet([device]) as fleet, caplog.at_level(logging.DEBUG):
        context = make_context(tmp_path, credentials, transcript=lambda kind, text: seen.append(f"{kind} {text}"))
        result = collect(request_for(fleet, device), context)
    assert result.status == "success"
    assert f"banner motd {HIDDEN} {HIDDEN}" in result.device_config
    everything = caplog.text + "".join(seen) + told(result)
    assert not [canary for canary in canaries if canary in everything]
    assert f"typed {HIDDEN}" in seen
    assert "typed show running-config" in seen


def test_a_transcript_shows_what_came_before_a_failure(tmp_path: Path) -> None:
    device = SimulatedDevice("r1", fault="close")
    seen: list[str] = []
    with Fleet([device]) as fleet:
        context = make_context(tmp_path, transcript=lambda kind, text: seen.append(text), attempts=1)
        collect(request_for(fleet, device), context)
    assert "hostname r1" in seen[-1]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"platform": "cisco_iso"}, "platform"),
        ({"credentials": ("nobody",)}, "credential"),
        ({"credentials": ()}, "credential"),
        ({"address": "no-such-host.invalid"}, "unreachable"),
    ],
)
def test_a_request_that_can_not_be_served_is_a_failure_not_an_exception(
    fields: dict[str, Any], error: str, tmp_path: Path
) -> None:
    result = collected(SimulatedDevice("r1"), tmp_path, ssh={"attempts": 1}, **fields)
    assert (result.status, result.error) == ("failure", error)


def test_noop_collects_without_a_device(tmp_path: Path) -> None:
    device = SimulatedDevice("r1")
    result = collected(device, tmp_path, platform="noop", options={"text": "hello\n"})
    assert (result.status, result.device_config, device.logins) == ("success", "hello\n", 0)
    failed = collected(device, tmp_path, platform="noop", options={"error": "prompt"})
    assert (failed.status, failed.error) == ("failure", "prompt")
