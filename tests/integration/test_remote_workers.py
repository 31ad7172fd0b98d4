"""A worker on another host: the join file, and accounts that can do no more than they must."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from amqp import basic_message
from amqp.exceptions import AccessRefused
from click.testing import CliRunner
from kombu.connection import Connection
from redis import Redis
from redis.exceptions import NoPermissionError

from devicevault import names
from devicevault.celery_app import Application
from devicevault.cli import main
from devicevault.collector.seal import Opener
from devicevault.heartbeat import heartbeats
from devicevault.join import JoinFile, account_commands
from devicevault.settings import Settings, load_settings
from devicevault.stream import connect_redis
from tests.certificates import Authority
from tests.collecting import CREDENTIALS
from tests.conftest import started
from tests.servers import (
    RabbitMQServer,
    RedisServer,
    accepts,
    free_port,
    rabbitmq_server,
    redis_server,
    wait_until,
)
from tests.workers import WorkerHost, stop

pytestmark = pytest.mark.services

PAGE = """title = "Acme"
vendor = "Acme"
kind = "noop"
[session]
driver = "linux"
prompt = '\\A\\Z'
[[artifacts]]
commands = ["true"]
[complete]
ends_with = '^end\\Z'
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """A RabbitMQ of these tests' own: they make users in it."""
    with started(rabbitmq_server(tmp_path_factory.mktemp("rabbitmq"), management=False)) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of these tests' own."""
    with started(redis_server(tmp_path_factory.mktemp("redis"))) as server:
        yield server


class Site:
    """A vault, and a host that joins it."""

    def __init__(self, folder: Path, broker_url: str, redis: RedisServer) -> None:
        self.folder = folder
        self.redis = redis
        self.vault = folder / "vault"
        self.worker = folder / "worker"
        for host in (self.vault, self.worker):
            (host / "platforms").mkdir(parents=True)
            (host / "config.toml").write_text(self.paths(host))
        (self.vault / "platforms" / "acme.toml").write_text(PAGE)
        with (self.vault / "config.toml").open("a") as config:
            config.write("[groups.dmz.ssh]\nattempts = 3\n[queue]\nwait_s = 7200\n")
            config.write('[jumps.bastion]\naddress = "192.0.2.9"\ncredential = "hop"\n')
        text = (self.vault / "config.toml").read_text()
        urls = f'broker_url = "{broker_url}"\nredis_url = "{redis.url}"\n'
        (self.vault / "config.toml").write_text(urls + text)
        (self.worker / "credentials.toml").write_text(CREDENTIALS)
        (self.worker / "credentials.toml").chmod(0o600)

    @staticmethod
    def paths(host: Path) -> str:
        return (
            f'credentials_file = "{host}/credentials.toml"\nplatforms_dir = "{host}/platforms"\n'
            f'[vault]\npublic_key = "{host}/vault.pub"\nprivate_key = "{host}/vault.key"\n'
            f'digest_key = "{host}/vault.digest"\n'
        )

    def run(self, host: Path, *command: str, ends_with: int = 0) -> str:
        done = CliRunner().invoke(main, ["--config", str(host / "config.toml"), *command])
        assert done.exit_code == ends_with, done.output
        return done.output

    def settings(self, host: Path) -> Settings:
        return load_settings(host / "config.toml", {})

    def join(self, broker_url: str = "", redis_url: str = "", authority: Path | None = None) -> Path:
        """Export on the vault; the addresses are its own unless others are given."""
        file = self.folder / "dmz.join"
        vault = self.settings(self.vault)
        broker = urlsplit(vault.broker_url)
        self.run(
            self.vault,
            *("join", "export", "--group", "dmz", "--output", str(file)),
            *("--broker-url", broker_url or broker._replace(netloc=broker.netloc.rpartition("@")[2]).geturl()),
            *("--redis-url", redis_url or vault.redis_url),
            *(("--authority", str(authority)) if authority else ()),
        )
        return file

    def worker_host(self) -> WorkerHost:
        """The host that joined, to run a worker on; requests are sent and results read as the vault does."""
        host = WorkerHost.__new__(WorkerHost)
        host.folder, host.redis_url = self.worker, self.redis.url
        host.settings = self.settings(self.vault)
        host.app = Application("test")
        host.app.use(host.settings)
        host.redis = Redis.from_url(self.redis.url)
        host.redis.acl_log_reset()
        return host


@pytest.fixture
def site(tmp_path: Path, broker: RabbitMQServer, store: RedisServer) -> Site:
    with Redis.from_url(store.url) as client:
        client.flushall()
    made = Site(tmp_path, broker.url, store)
    made.run(made.vault, "keys", "create")
    return made


def make_accounts(script: str, broker: RabbitMQServer | None, store: RedisServer, folder: Path) -> None:
    """Run the script as an operator does, with the tools pointed to the tests' servers."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    wrappers = {"redis-cli": f'exec /usr/bin/redis-cli -p {store.port} "$@" | grep -v "config file" | cat'}
    environ = {**os.environ}
    if broker is not None:
        environ |= broker.process.environ
        ctl = shlex.quote(str(Path(broker.process.command[0]).with_name("rabbitmqctl")))
        wrappers["rabbitmqctl"] = f'exec {ctl} --node {broker.name} "$@"'
    for name, line in wrappers.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    environ["PATH"] = f"{tools}:{environ['PATH']}"
    done = subprocess.run(["sh"], input=script, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERR" not in done.stdout.replace("ERR The server is running without a config file", ""), done.stdout
    if broker is not None:
        # On a busy machine it may be occupied for longer than a client waits.
        wait_until(broker.greets, 60, or_say=broker.process.log_tail)


def test_a_joined_worker_collects_with_its_own_accounts_and_can_not_open_what_it_sealed(
    site: Site, broker: RabbitMQServer, store: RedisServer
) -> None:
    file = site.join()
    make_accounts(site.run(site.vault, "join", "accounts", str(file)), broker, store, site.folder)
    site.run(site.worker, "join", "import", str(file))
    host = site.worker_host()
    # Each process has names of its own on the broker.
    with host.running("devicevault-worker", "dmz", DEVICEVAULT_WORKER__PROCESSES="2") as worker:
        host.send("r1", platform="acme")
        host.send("r2", platform="acme", options={"delay_s": 1})
        results = host.results(2)
        with connect_redis(store.url) as redis:
            wait_until(lambda: len(heartbeats(redis)) == 2, 60, or_say=host.log)
            beat, _ = heartbeats(redis)
        assert stop(worker) == 0
    assert [result.status for result in results] == ["success"] * 2, host.log()
    log = host.log()
    assert host.redis.acl_log() == [], "Redis kept it from something it needs"
    assert "ACCESS_REFUSED" not in log
    assert "Traceback" not in log
    assert "acme" in beat.platforms
    (artifact,) = results[0].artifacts
    assert b"hostname r1" in Opener.from_settings(site.settings(site.vault)).open(artifact.original, artifact.key_id)
    assert not (site.worker / "vault.key").exists()
    assert site.settings(site.worker).for_group("dmz").ssh.attempts == 3
    assert site.settings(site.worker).queue.wait_s == 7200
    assert site.settings(site.worker).jumps == site.settings(site.vault).jumps != {}


def test_the_groups_accounts_reach_nothing_but_their_own(
    site: Site, broker: RabbitMQServer, store: RedisServer
) -> None:
    file = site.join()
    shared = JoinFile.read(file).shared_settings()
    make_accounts(account_commands(shared, "dmz"), broker, store, site.folder)
    with connect_redis(shared.redis_url) as redis:
        redis.xadd(names.RESULTS_STREAM, {"task_id": "t"})
        wishes: tuple[Callable[[], object], ...] = (
            lambda: redis.xrange(names.RESULTS_STREAM),
            lambda: redis.xread({names.RESULTS_STREAM: "0"}),
            lambda: redis.xtrim(names.RESULTS_STREAM, 0),
            lambda: redis.set("anything", 1),
            lambda: redis.flushall(),
            lambda: redis.keys("*"),
            lambda: redis.config_get("*"),
            lambda: redis.acl_list(),
            lambda: redis.delete("device:results:dead"),
        )
        for wish in wishes:
            with pytest.raises(NoPermissionError):
                wish()
    with connected(site.settings(site.vault).broker_url) as all_powerful:
        all_powerful.default_channel.queue_declare(names.queue_for("core"), durable=True, auto_delete=False)
    core = names.queue_for("core")
    forged = basic_message.Message("forged")
    orders: tuple[Callable[[Any], object], ...] = (
        lambda channel: channel.basic_get(core),
        lambda channel: channel.queue_purge(core),
        lambda channel: channel.queue_delete(core),
        lambda channel: channel.queue_declare("anything"),
        lambda channel: channel.basic_publish_confirm(forged, "", core),
    )
    with connected(shared.broker_url) as connection:
        for order in orders:
            with pytest.raises(AccessRefused), connection.channel() as channel:
                order(channel)


def connected(url: str) -> Any:
    return Connection(url)  # type: ignore[no-untyped-call]


def test_the_file_holds_no_private_key_no_database_and_is_for_its_owner_only(site: Site) -> None:
    file = site.join()
    private = (site.vault / "vault.key").read_text().split()[-1]
    text = file.read_text()
    assert private not in text
    assert "database_url" not in text
    assert "guest" not in text, "the vault's own account stays with the vault"
    assert file.stat().st_mode & 0o777 == 0o600
    assert JoinFile.read(file).release
    assert unquote(urlsplit(JoinFile.read(file).shared_settings().broker_url).password or "") not in repr(
        JoinFile.read(file)
    )


def test_export_wants_addresses_that_others_reach_and_no_password_on_the_command_line(site: Site) -> None:
    told = site.run(site.vault, "join", "export", "--group", "dmz", ends_with=2)
    assert "--broker-url amqps://vault.example.net:5671//" in told
    told = site.run(
        site.vault, "join", "export", "--group", "dmz", "--broker-url", "amqps://u:geheim@far//", ends_with=2
    )
    assert "geheim" not in told


def test_import_refuses_a_vault_another_vaults_key_and_files_that_others_can_read(site: Site) -> None:
    file = site.join()
    assert "vault itself" in site.run(site.vault, "join", "import", str(file), ends_with=2)
    (site.worker / "vault.pub").write_text("devicevault-public-1 another\n")
    assert "--replace" in site.run(site.worker, "join", "import", str(file), ends_with=2)
    site.run(site.worker, "join", "import", str(file), "--replace")
    site.run(site.worker, "join", "import", str(file))
    file.chmod(0o644)
    assert "chmod o=" in site.run(site.worker, "join", "import", str(file), ends_with=78)
    file.chmod(0o600)
    file.write_text(json.dumps({**json.loads(file.read_text()), "pages": {"../evil": PAGE}}))
    site.run(site.worker, "join", "import", str(file), ends_with=78)
    assert not (site.worker.parent / "evil.toml").exists()


def test_a_worker_with_redis_as_broker_joins_as_well(tmp_path: Path, store: RedisServer) -> None:
    with Redis.from_url(store.url) as client:
        client.flushall()
    site = Site(tmp_path, store.database_url(0), store)
    site.run(site.vault, "keys", "create")
    file = site.join()
    make_accounts(site.run(site.vault, "join", "accounts", str(file)), None, store, site.folder)
    site.run(site.worker, "join", "import", str(file))
    host = site.worker_host()
    with host.running("devicevault-worker", "dmz") as worker:
        host.send("r1", platform="acme")
        assert host.results(1)[0].status == "success"
        assert stop(worker) == 0
    assert host.redis.acl_log() == [], "Redis kept it from something it needs"


def test_a_worker_joins_over_tls_and_trusts_no_other_authority(tmp_path: Path) -> None:
    for name in ("rabbitmq", "redis", "site"):
        (tmp_path / name).mkdir()
    authority = Authority()
    for name in ("rabbitmq", "redis"):
        authority.issue(tmp_path / name, "localhost", "127.0.0.1")
    with (
        started(rabbitmq_server(tmp_path / "rabbitmq", management=False)) as broker,
        started(redis_server(tmp_path / "redis")) as store,
    ):
        amqps, rediss = free_port(), free_port()
        serve_tls(broker, tmp_path / "rabbitmq", amqps)
        with Redis.from_url(store.url) as client:
            for key in ("tls-cert-file", "tls-key-file", "tls-ca-cert-file"):
                client.config_set(key, str(tmp_path / "redis" / TLS_FILES[key]))
            client.config_set("tls-auth-clients", "no")
            client.config_set("tls-port", rediss)
        site = Site(tmp_path / "site", broker.url, store)
        site.run(site.vault, "keys", "create")
        file = site.join(
            f"amqps://localhost:{amqps}//", f"rediss://localhost:{rediss}/1", tmp_path / "redis" / "authority.pem"
        )
        make_accounts(site.run(site.vault, "join", "accounts", str(file)), broker, store, site.folder)
        site.run(site.worker, "join", "import", str(file))
        host = site.worker_host()
        with host.running("devicevault-worker", "dmz") as worker:
            host.send("r1", platform="acme")
            assert host.results(1)[0].status == "success", host.log()
            assert stop(worker) == 0
        (site.worker / "authority.pem").write_bytes(Authority().certificate)
        with host.running("devicevault-worker", "dmz", DEVICEVAULT_WORKER__START_TIMEOUT_S="1") as worker:
            assert worker.wait(60) == os.EX_TEMPFAIL
        assert "certificate verify failed" in host.log().lower()


TLS_FILES = {"tls-cert-file": "cert.pem", "tls-key-file": "key.pem", "tls-ca-cert-file": "authority.pem"}


def serve_tls(broker: RabbitMQServer, folder: Path, port: int) -> None:
    """Let RabbitMQ listen for TLS as well."""
    broker.stop()
    with (folder / "rabbitmq.conf").open("a") as conf:
        conf.write(
            f"listeners.ssl.default = 127.0.0.1:{port}\nssl_options.verify = verify_none\n"
            f"ssl_options.cacertfile = {folder}/authority.pem\nssl_options.certfile = {folder}/cert.pem\n"
            f"ssl_options.keyfile = {folder}/key.pem\n"
        )
    broker.start()
    wait_until(lambda: accepts(port), 30, or_say=broker.process.log_tail)
