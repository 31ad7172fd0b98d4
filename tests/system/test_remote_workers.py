"""A vault, and a worker on another host: broker and Redis over TLS, accounts of its own, no key to open anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devicevault.demo.configurations import configuration_for
from tests.system import vault
from tests.system.browser import see
from tests.system.devices import simulated_devices
from tests.system.machine import Machine, booted
from tests.system.site import REDIS_PASSWORD, VAULT_NAME, WORKER, Site, join

DEVICE = "branch-sw1"
FLOWER, FLOWER_PASSWORD = "127.0.0.1:5555", "Flower-Canary-71"
#: A worker's host has no broker and no Redis.
NOT_THERE = ("rabbitmq-server", "redis-server", "frr", "ssh")
SITE_PAGE = Path(__file__).parents[2] / "devicevault" / "platforms" / "pages" / "noop.toml"
SLOTS = 4


@pytest.fixture(scope="module")
def site(machine: Machine, root: Path, package: Path) -> Iterator[Site]:
    """Both hosts, the worker running, and beside it a device that the vault can't reach."""
    with booted(root, "devicevault-far", "far", NOT_THERE) as far:
        joined = Site(machine, far)
        join(joined, package)
        with simulated_devices(far, {DEVICE: {"platform": "cisco_ios"}}) as ports:
            vault.write_devices(machine, ports)
            machine.path("/etc/devicevault/credentials.toml").unlink()
            yield joined


def collect(site: Site, *devices: str) -> None:
    site.vault.run("devicevault", "collect", *devices, "--wait", "--timeout", "90")


def test_a_device_beside_the_worker_is_backed_up_by_the_vault(site: Site) -> None:
    collect(site, DEVICE)
    assert f"hostname {DEVICE}" in site.vault.run("devicevault", "show", DEVICE)
    (entry,) = site.far.journal(f"--unit={WORKER}", f"DEVICE={DEVICE}", "STATUS=success")
    assert DEVICE in entry


def test_broker_and_redis_are_reached_over_tls_only(site: Site) -> None:
    connections = site.far.run("ss", "--tcp", "--numeric", "--no-header", "state", "established")
    ports = {line.split()[3].rpartition(":")[2] for line in connections.splitlines() if "192.0.2.1" in line}
    assert ports == {"5671", "6380"}


def test_the_vault_opens_the_original_and_the_worker_has_nothing_to_open_it_with(site: Site) -> None:
    original = site.vault.run("devicevault", "show", DEVICE, "--original")
    for line in configuration_for("cisco_ios", DEVICE).splitlines():
        assert line in original
    refused = site.far.try_run("devicevault", "show", DEVICE, "--original")
    assert refused.returncode
    assert "Traceback" not in refused.stderr
    assert not site.far.path("/etc/devicevault/vault.key").exists()
    private = site.vault.path("/etc/devicevault/vault.key").read_text().split()[-1]
    for place in ("/etc", "/var/lib", "/root"):
        assert site.far.try_run("grep", "--recursive", "--files-with-matches", private, place).stdout == ""


def test_no_password_of_one_side_is_on_the_other(site: Site) -> None:
    for place in ("/etc", "/var/lib/devicevault", "/var/lib/redis", "/var/lib/rabbitmq", "/var/log"):
        found = site.vault.try_run("grep", "--recursive", "--files-with-matches", vault.PASSWORD, place)
        assert found.stdout == ""
    assert site.far.try_run("grep", "-r", "-l", REDIS_PASSWORD, "/etc", "/var/lib", "/root").stdout == ""


def test_flower_shows_worker_task_and_queue_in_a_browser_and_no_secret(site: Site) -> None:
    config = site.vault.path("/etc/devicevault/config.d/flower.toml")
    config.write_text(f'[flower]\npassword = "{FLOWER_PASSWORD}"\n')
    vault.start(site.vault, "devicevault-flower")
    collect(site, DEVICE)
    pages = [
        shown(site, "workers", f"{vault.GROUP}@far Online"),
        shown(site, "tasks", "device.collect", "SUCCESS"),
        # Messages, of them unacknowledged and ready, and consumers: RabbitMQ counts them anew every few seconds.
        shown(site, "broker", f"collector.group.{vault.GROUP} 0 0 0 1"),
    ]
    secrets = (vault.PASSWORD, FLOWER_PASSWORD, REDIS_PASSWORD, "guest:guest")
    assert not [secret for secret in secrets for page in pages if secret in page]
    for user in ("", "devicevault:wrong@"):
        assert "device.collect" not in see(site.vault, f"http://{user}{FLOWER}/tasks")


def shown(site: Site, page: str, *words: str) -> str:
    """A page of Flower's to somebody who knows the password, once all of the words are on it."""
    seen = ""

    def is_there() -> bool:
        nonlocal seen
        seen = see(site.vault, f"http://devicevault:{FLOWER_PASSWORD}@{FLOWER}/{page}")
        return all(word in seen for word in words)

    site.vault.wait_until(is_there, 30, f"{words} on Flower's page {page}")
    return seen


def test_the_doctor_on_the_vault_names_what_a_worker_lacks(site: Site) -> None:
    """Another release, a credential and a page that are not there, a page that differs, another stream."""
    is_well = f"ok      heartbeats: {vault.GROUP}@far"
    assert is_well in site.doctor()
    devices = site.vault.path("/etc/devicevault/devices.toml")
    before = devices.read_text()
    devices.write_text(
        before
        + f'[devices.acme-1]\nplatform = "acme"\ngroup = "{vault.GROUP}"\n'
        + f'[devices.core-1]\nplatform = "noop"\ngroup = "{vault.GROUP}"\ncredential = "core"\n'
    )
    page = site.vault.path("/etc/devicevault/platforms/acme.toml")
    page.parent.mkdir(exist_ok=True)
    page.write_text(SITE_PAGE.read_text())
    (release,) = site.far.root.glob("usr/lib/devicevault/lib/python3.*/site-packages/devicevault/__init__.py")
    (bytecode,) = release.parent.glob("__pycache__/__init__.*.pyc")
    bytecode.unlink()
    was = release.read_text()
    release.write_text(was.replace('__version__ = "', '__version__ = "9.'))
    stream = site.far.path("/etc/devicevault/config.d/stream.toml")
    stream.write_text('results_stream = "elsewhere"\n')
    site.far.run("systemctl", "restart", WORKER)
    site.vault.wait_until(lambda: f"{vault.GROUP}@far runs release 9." in site.doctor(), 30, "it was heard of anew")
    found = site.doctor()
    for words in (
        "has no credential 'core', which 1 of its devices need",
        "has no page for platform acme, which 1 of its devices are",
        "puts its results into elsewhere; this vault reads device:results",
    ):
        assert words in found
    release.write_text(was)
    stream.unlink()
    devices.write_text(before)
    site.far.run("systemctl", "restart", WORKER)
    site.vault.wait_until(lambda: is_well in site.doctor(), 30, "it has everything again")


def test_a_worker_whose_every_slot_hangs_is_killed_and_works_again(site: Site) -> None:
    """And nothing is lost: the requests that hung end in rows that say so.

    The unit's own watchdog has 120 s and its restart 10; here they are shorter, so that the test is over soon.
    """
    hanging = [f"hung{number}" for number in range(SLOTS)]
    entries = [
        f'[devices.{name}]\nplatform = "noop"\ngroup = "{vault.GROUP}"\noptions.delay_s = 600\n' for name in hanging
    ]
    devices = site.vault.path("/etc/devicevault/devices.toml")
    devices.write_text(devices.read_text() + "\n".join(entries))
    limits = f"[worker]\nconcurrency = {SLOTS}\nmax_deliveries = 1\n[ssh]\ndeadline_s = 2\nconnect_timeout_s = 1\n"
    site.vault.path("/etc/devicevault/config.d/limits.toml").write_text(limits)
    site.far.path("/etc/devicevault/config.d/limits.toml").write_text(limits)
    drop_in = site.far.path(f"/etc/systemd/system/{WORKER}.service.d/watchdog.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=10\nRestartSec=1\n")
    site.far.run("systemctl", "daemon-reload")
    site.far.run("systemctl", "restart", WORKER)
    wedged = site.far.property(WORKER, "MainPID")
    site.vault.run("devicevault", "collect", *hanging)
    site.far.wait_until(
        lambda: site.far.property(WORKER, "MainPID") not in ("0", wedged) and site.far.is_active(WORKER),
        60,
        "the worker runs again",
    )
    assert site.far.property(WORKER, "NRestarts") != "0"
    assert any(f"every one of {SLOTS} slots is stuck" in line for line in site.far.journal(f"--unit={WORKER}"))
    site.far.wait_until(lambda: ended(site, *hanging) == ["failure"] * SLOTS, 60, "every request ended")
    drop_in.unlink()
    collect(site, DEVICE)


def ended(site: Site, *devices: str) -> list[str]:
    """How the newest collection of each device ended, or that it has not."""
    states = json.loads(site.vault.run("devicevault", "status", *devices, "--json"))
    return [state["latest"]["status"] for state in states]


def test_a_worker_that_left_gets_nothing_more(site: Site) -> None:
    """As the page says; its accounts are gone with it."""
    site.far.run("systemctl", "disable", "--now", WORKER)
    site.vault.run("rabbitmqctl", "delete_user", f"devicevault-{vault.GROUP}")
    site.vault.run(
        "env", f"REDISCLI_AUTH={REDIS_PASSWORD}", "redis-cli", "ACL", "DELUSER", f"devicevault-{vault.GROUP}"
    )
    site.far.run("systemctl", "start", "--no-block", WORKER)
    site.far.wait_until(
        lambda: VAULT_NAME in site.far.property(WORKER, "StatusText"), 30, "the worker says what it waits for"
    )
    assert site.far.property(WORKER, "ActiveState") == "activating"
