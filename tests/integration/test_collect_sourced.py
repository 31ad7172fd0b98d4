"""Devices that NetBox knows are collected, also while NetBox is away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devicevault.demo import scene
from devicevault.demo.fleet import Fleet
from tests.netbox import TOKEN, device, web_server

NAMES = ("core-sw1", "dc-leaf1")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    devices = [one for one in scene.simulated_devices() if one.name in NAMES]
    for one in devices:
        one.delay_s = 0
    with Fleet(devices) as running:
        yield running


def run(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as the timer starts one: what it logs is on its stderr."""
    return subprocess.run(
        [sys.executable, "-m", "devicevault", "--config", str(config), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_night_without_netbox_is_a_night_with_backups(tmp_path: Path, fleet: Fleet) -> None:
    config = scene.write_files(tmp_path, fleet, redis_port=1)
    config.write_text(config.read_text().replace("[inventory]\n", f'[inventory]\nkept_dir = "{tmp_path}/kept"\n'))
    run(config, "keys", "create")
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(TOKEN)
    known = [
        device(
            n,
            name=name,
            platform={"slug": scene.PLATFORM_OF[name].replace("_", "-")},
            primary_ip={"address": "127.0.0.1/8"},
            custom_fields={"devicevault_port": fleet.port(name)},
        )
        for n, name in enumerate(NAMES, start=1)
    ]
    with web_server(devices=known) as netbox:
        (tmp_path / "devices.toml").write_text(
            f'[sources.cmdb]\nkind = "netbox"\nurl = "{netbox.url}"\ntoken = {{ file = "token" }}\ncache_s = 0\n'
            'defaults = { credential = "demo" }\n'
        )
        first = run(config, "collect", "--inline", "--all", "--json")
        netbox.status = 503
        second = run(config, "collect", "--inline", "--all", "--json")
    for done in (first, second):
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)["results"]
        assert {row["device"]: row["status"] for row in results} == dict.fromkeys(NAMES, "success")
    assert first.stderr == ""
    assert "sources.cmdb" in second.stderr
    assert "answers 503 Service Unavailable (out of order); its last good answer" in second.stderr
    assert TOKEN not in second.stderr
