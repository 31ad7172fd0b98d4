"""How the daemons behave under systemd when the world around them does not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devicevault.names import lock_for, queue_for
from tests.system import vault
from tests.system.devices import simulated_devices
from tests.system.machine import Machine

FAST, SLOW = "core-sw1", "slow-sw9"
WORKER, CONSUMER = vault.DAEMONS
#: Seconds the slow device takes for each answer.
DELAY_S = 2.0
#: Less than what is left of the slow session, more than the worker's 3 s.
STOPPED_WITHIN_S = 10


@pytest.fixture(scope="module")
def started(machine: Machine, package: Path) -> Iterator[Machine]:
    """A vault with a fast device and a slow one, its daemons started; a stopping worker waits for 3 s."""
    machine.install(package)
    machine.path("/etc/devicevault/config.d/drain.toml").write_text("[worker]\ndrain_s = 3\n")
    devices: dict[str, dict[str, Any]] = {
        FAST: {"platform": "cisco_ios"},
        SLOW: {"platform": "cisco_ios", "delay_s": DELAY_S},
    }
    with simulated_devices(machine, devices) as ports:
        vault.write_devices(machine, ports)
        vault.start(machine, CONSUMER, WORKER)
        yield machine


def collect(machine: Machine, *devices: str) -> None:
    machine.run("devicevault", "collect", *devices, "--wait", "--timeout", "90")


def status_of(machine: Machine, pid: str) -> dict[str, str]:
    """What the kernel tells of a process."""
    lines = machine.run("cat", f"/proc/{pid}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.mark.parametrize("unit", vault.DAEMONS)
def test_a_daemon_can_do_no_more_than_its_job(started: Machine, unit: str) -> None:
    pid = started.property(unit, "MainPID")
    status = status_of(started, pid)
    assert int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "Max core file size        0                    0" in started.run("cat", f"/proc/{pid}/limits")
    for place in ("/usr", "/etc", "/var/log"):
        refused = started.try_run("nsenter", "--mount", f"--target={pid}", "--", "touch", f"{place}/written")
        assert "Read-only file system" in refused.stderr
    assert started.run("nsenter", "--mount", f"--target={pid}", "--", "find", "/home", "/root", "-mindepth", "1") == ""


def test_a_worker_without_a_broker_waits_and_says_for_what(started: Machine) -> None:
    started.run("systemctl", "stop", WORKER, "rabbitmq-server")
    started.run("systemctl", "start", "--no-block", WORKER)
    started.wait_until(
        lambda: "broker" in started.property(WORKER, "StatusText"), 30, "the worker says what it waits for"
    )
    assert started.property(WORKER, "ActiveState") == "activating"
    started.run("systemctl", "start", "rabbitmq-server")
    started.wait_until(lambda: started.is_active(WORKER), 60, "the worker is ready")
    collect(started, FAST)


def test_a_consumer_without_redis_waits_and_says_for_what(started: Machine) -> None:
    started.run("systemctl", "stop", CONSUMER, "redis-server")
    started.run("systemctl", "start", "--no-block", CONSUMER)
    started.wait_until(
        lambda: "Redis" in started.property(CONSUMER, "StatusText"), 30, "the consumer says what it waits for"
    )
    assert started.property(CONSUMER, "ActiveState") == "activating"
    started.run("systemctl", "start", "redis-server")
    started.wait_until(lambda: started.is_active(CONSUMER), 60, "the consumer is ready")


def test_a_long_outage_of_broker_and_redis_trips_no_watchdog(started: Machine) -> None:
    """Three times the watchdog's interval, which is 10 s here and 120 s in the units."""
    for unit in vault.DAEMONS:
        drop_in = started.path(f"/etc/systemd/system/{unit}.service.d/watchdog.conf")
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text("[Service]\nWatchdogSec=10\n")
    started.run("systemctl", "daemon-reload")
    started.run("systemctl", "restart", *vault.DAEMONS)
    before = [started.property(unit, "MainPID") for unit in vault.DAEMONS]
    started.run("systemctl", "stop", "rabbitmq-server", "redis-server")
    time.sleep(30)
    started.run("systemctl", "start", "rabbitmq-server", "redis-server")
    collect(started, FAST)
    assert [started.property(unit, "MainPID") for unit in vault.DAEMONS] == before
    for unit in vault.DAEMONS:
        started.path(f"/etc/systemd/system/{unit}.service.d/watchdog.conf").unlink()
    started.run("systemctl", "daemon-reload")
    started.run("systemctl", "restart", *vault.DAEMONS)


def test_a_scheduled_backup_waits_for_a_broker_that_is_away(started: Machine) -> None:
    unit = f"devicevault-collect@{vault.GROUP}"
    drop_in = started.path(f"/etc/systemd/system/{unit}.service.d/soon.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nRestartSec=1\n")
    started.run("systemctl", "daemon-reload")
    before = len(vault.history(started, FAST)["results"])
    started.run("systemctl", "stop", "rabbitmq-server")
    started.run("systemctl", "start", "--no-block", unit)
    started.wait_until(lambda: started.property(unit, "ExecMainStatus") == "75", 30, "it could not ask")
    started.run("systemctl", "start", "rabbitmq-server")
    started.wait_until(lambda: started.property(unit, "ActiveState") == "inactive", 90, "it has asked and is done")
    assert started.property(unit, "Result") == "success"
    result = vault.history(started, FAST)["results"][0]
    assert (len(vault.history(started, FAST)["results"]), result["status"]) == (before + 1, "success")


def test_a_group_of_which_nothing_was_backed_up_fails_its_unit_and_not_a_single_device(started: Machine) -> None:
    """Nobody listens on port 1."""
    inventory = started.path("/etc/devicevault/devices.toml")
    before = inventory.read_text()
    away = '[devices.away-{0}]\naddress = "127.0.0.1"\nport = 1\nplatform = "frr"\ngroup = "{0}"\n'
    inventory.write_text(f"{before}\n[groups.lonely]\n{away.format('lonely')}{away.format(vault.GROUP)}")
    soon = started.path("/etc/devicevault/config.d/soon.toml")
    soon.write_text("[ssh]\nattempts = 1\n")
    started.run("systemctl", "restart", WORKER)
    started.run("systemctl", "start", "devicevault-worker@lonely", f"devicevault-collect@{vault.GROUP}")
    assert vault.history(started, f"away-{vault.GROUP}")["results"][0]["error"] == "unreachable"
    assert started.try_run("systemctl", "start", "devicevault-collect@lonely").returncode
    assert started.property("devicevault-collect@lonely", "ActiveState") == "failed"
    assert started.property("devicevault-collect@lonely", "ExecMainStatus") == "3"
    started.run("systemctl", "stop", "devicevault-worker@lonely")
    started.run("systemctl", "reset-failed", "devicevault-collect@lonely")
    soon.unlink()
    inventory.write_text(before)
    started.run("systemctl", "restart", WORKER)


@pytest.mark.parametrize("unit", vault.DAEMONS)
def test_a_reload_reads_the_files_anew_in_the_same_process(started: Machine, unit: str) -> None:
    pid = started.property(unit, "MainPID")
    started.run("systemctl", "reload", unit)
    started.wait_until(lambda: started.is_active(unit), 30, "it has reloaded")
    assert started.property(unit, "MainPID") == pid


def test_a_wrong_file_changes_nothing_at_a_reload(started: Machine) -> None:
    wrong = started.path("/etc/devicevault/config.d/wrong.toml")
    wrong.write_text("[worker]\nconcurency = 5\n")
    started.run("systemctl", "reload", WORKER)
    # The worker reads after it got the signal, which is all that `systemctl reload` waits for.
    started.wait_until(
        lambda: any("concurency" in line for line in started.journal(f"--unit={WORKER}")), 30, "the worker tells"
    )
    wrong.unlink()
    started.wait_until(lambda: started.is_active(WORKER), 30, "it goes on")
    collect(started, FAST)


def test_a_stopping_worker_gives_its_task_back(started: Machine) -> None:
    """The same request ends in success once a worker is there again, and in no second row."""
    before = statuses(started, SLOW)
    started.run("devicevault", "collect", SLOW)
    lock = lock_for(SLOW)
    started.wait_until(lambda: started.run("redis-cli", "-n", "1", "exists", lock).strip() == "1", 30, "it has begun")
    began = time.monotonic()
    started.run("systemctl", "stop", WORKER)
    assert time.monotonic() - began < STOPPED_WITHIN_S
    assert started.property(WORKER, "Result") == "success"
    assert statuses(started, SLOW) == ["queued", *before]
    started.run("systemctl", "start", WORKER)
    started.wait_until(lambda: statuses(started, SLOW)[0] != "queued", 90, "it is collected again")
    assert statuses(started, SLOW) == ["success", *before]


def test_broker_and_redis_are_restarted_under_load(started: Machine) -> None:
    """Every request ends in a backup all the same."""
    names = [f"trial{number}" for number in range(30)]
    entries = [f'[devices.{name}]\nplatform = "noop"\ngroup = "{vault.GROUP}"\noptions.delay_s = 2\n' for name in names]
    inventory = started.path("/etc/devicevault/devices.toml")
    inventory.write_text(inventory.read_text() + "\n".join(entries))
    started.path("/etc/devicevault/config.d/few.toml").write_text("[worker]\nconcurrency = 4\n")
    started.run("systemctl", "restart", WORKER)
    started.run("devicevault", "collect", *names)
    started.wait_until(lambda: "success" in latest(started, *names), 60, "the first is done")
    started.run("systemctl", "restart", "rabbitmq-server", "redis-server")
    started.wait_until(lambda: set(latest(started, *names)) == {"success"}, 90, "every device is backed up")
    assert all(map(started.is_active, vault.DAEMONS))


def test_a_worker_of_several_processes_is_one_service(started: Machine) -> None:
    """Each in the sandbox, on a processor of its own; one that is killed costs the others nothing."""
    several = started.path("/etc/devicevault/config.d/several.toml")
    # A machine of the tests is a container, on whose host no other worker keeps to a processor.
    several.write_text('[worker]\nprocesses = 2\nown_processor = "always"\n')
    started.run("systemctl", "restart", WORKER)
    supervisor = started.property(WORKER, "MainPID")
    assert "in 2 processes: 0 in flight" in started.property(WORKER, "StatusText")
    killed, spared = processes = children(started, supervisor)
    told = [status_of(started, pid) for pid in processes]
    assert [status["NoNewPrivs"] for status in told] == ["1", "1"]
    first, second = (status["Cpus_allowed_list"] for status in told)
    assert (first.isdigit(), second.isdigit(), first != second) == (True, True, True), f"{first} and {second}"
    started.run("kill", "-KILL", killed)
    started.wait_until(
        lambda: len(now := children(started, supervisor)) == 2 and killed not in now, 60, "another one is started"
    )
    assert spared in children(started, supervisor)
    started.run("systemctl", "reload", WORKER)
    collect(started, FAST)
    assert started.property(WORKER, "MainPID") == supervisor
    started.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", WORKER)
    started.wait_until(
        # For a moment systemd calls a unit active whose process it has just lost.
        lambda: started.is_active(WORKER) and started.property(WORKER, "MainPID") not in ("0", supervisor),
        60,
        "it is back",
    )
    assert not {*children(started, started.property(WORKER, "MainPID"))} & {killed, spared}
    several.unlink()
    started.run("systemctl", "restart", WORKER)
    collect(started, FAST)


def test_a_vault_moves_to_quorum_queues(started: Machine) -> None:
    """As docs/scaling.md says; RabbitMQ is 3.10 on Debian 12 and 4.0 on Debian 13."""
    queue = queue_for(vault.GROUP)
    started.path("/etc/devicevault/config.d/quorum.toml").write_text('[queue]\ntype = "quorum"\n')
    refused = started.try_run("devicevault", "collect", FAST)
    assert refused.returncode
    assert "other arguments" in refused.stderr
    started.run("systemctl", "stop", WORKER)
    started.run("rabbitmqctl", "--quiet", "delete_queue", queue)
    started.run("systemctl", "start", WORKER)
    assert f"{queue}\tquorum" in started.run("rabbitmqctl", "--quiet", "list_queues", "name", "type")
    collect(started, FAST, SLOW)
    before = statuses(started, SLOW)
    started.run("devicevault", "collect", SLOW)
    lock = lock_for(SLOW)
    started.wait_until(lambda: started.run("redis-cli", "-n", "1", "exists", lock).strip() == "1", 30, "it has begun")
    started.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", WORKER)
    started.wait_until(lambda: statuses(started, SLOW)[0] != "queued", 90, "it is collected again")
    assert statuses(started, SLOW) == ["success", *before]


def children(machine: Machine, pid: str) -> list[str]:
    """The processes it started, oldest first."""
    return machine.run("cat", f"/proc/{pid}/task/{pid}/children").split()


@pytest.mark.parametrize("kind", ["LoadCredential", "LoadCredentialEncrypted"])
def test_systemd_hands_the_worker_a_password(started: Machine, kind: str) -> None:
    """The password stands in no file of DeviceVault's."""
    started.path("/root/password").write_text(vault.PASSWORD + "\n")
    if kind == "LoadCredentialEncrypted":
        started.run("systemd-creds", "encrypt", "--with-key=host", "--name=dmz", "/root/password", "/root/sealed")
        started.path("/root/sealed").rename(started.path("/root/password"))
    credentials = started.path("/etc/devicevault/credentials.toml")
    credentials.write_text('[credentials.default]\nusername = "backup"\npassword = { systemd = "dmz" }\n')
    drop_in = started.path(f"/etc/systemd/system/{WORKER}.service.d/{kind}.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text(f"[Service]\n{kind}=dmz:/root/password\n")
    started.run("systemctl", "daemon-reload")
    started.run("systemctl", "restart", WORKER)
    collect(started, FAST)
    drop_in.unlink()


def latest(machine: Machine, *devices: str) -> list[str]:
    """How the newest collection of each device ended, or that it has not."""
    states = json.loads(machine.run("devicevault", "status", *devices, "--json"))
    return [state["latest"]["status"] for state in states]


def statuses(machine: Machine, device: str) -> list[str]:
    """How each collection of a device ended."""
    return [result["status"] for result in vault.history(machine, device)["results"]]
