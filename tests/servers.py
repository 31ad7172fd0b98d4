"""Real servers for the tests: Redis, RabbitMQ and PostgreSQL on free loopback ports, in folders of their own.

Each is a context manager that starts the server, waits until it answers, and stops exactly the process it
started. Debian's own services of the same names are never touched.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

#: A cold RabbitMQ on a busy machine takes longest.
START_WITHIN_S: Final = 90
STOP_WITHIN_S: Final = 30
POLL_S: Final = 0.05

REDIS: Final = Path("/usr/bin/redis-server")
# The one behind Debian's wrapper, which insists on the user rabbitmq and on /var/lib/rabbitmq.
RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD: Final = Path("/usr/bin/epmd")


class ServerMissingError(Exception):
    """The server is not installed; the text names the Debian package."""


class ServerFailedError(Exception):
    """The server did not start; the text ends with its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 nobody listens to, and which nobody else is given before this process ends."""
    return _kept.enter_context(reserved())


@contextmanager
def reserved(port: int = 0) -> Iterator[int]:
    """A port of 127.0.0.1 that no other process is given by chance while the block lasts.

    Nobody listens there yet; whoever sets SO_REUSEADDR, as servers do, may.
    """
    with socket.socket() as placeholder:
        placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        placeholder.bind(("127.0.0.1", port))
        yield placeholder.getsockname()[1]


#: A server that starts slowly would find its port taken by another test's, were it free until then.
_kept: Final = contextlib.ExitStack()


def accepts(port: int) -> bool:
    """Whether something listens on 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_so: Callable[[], bool], within_s: float, *, or_say: Callable[[], str]) -> None:
    """Poll until ``is_so``; raises AssertionError with what ``or_say`` tells."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(or_say())
        time.sleep(POLL_S)


@dataclass
class Process:
    """A server's process, its log file, and the user it runs as."""

    command: list[str]
    log: Path
    user: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self, is_up: Callable[[], bool], within_s: float = START_WITHIN_S) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environ},
                cwd=self.log.parent,
                user=self.user or None,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own process group: Ctrl-C in pytest must not reach the server before the test has ended.
                start_new_session=True,
            )
        deadline = time.monotonic() + within_s
        while not is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerFailedError(f"{self.command[0]} did not start:\n{self.log_tail()}")
            time.sleep(POLL_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """As a power cut would end it, with its children: RabbitMQ's is a shell script around the node."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class RedisServer:
    """One redis-server. ``url`` names database 1, as DeviceVault's default does."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        return self.database_url(1)

    def database_url(self, number: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        self.process.start(lambda: _redis_answers(self.port))

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()


def _redis_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A redis-server with append-only file, as DeviceVault's documentation asks for."""
    _needs(REDIS, "redis-server")
    port = free_port()
    command = [str(REDIS), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes", "--save", ""]
    server = RedisServer(port, Process(command, folder / "redis.log"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@dataclass
class RabbitMQServer:
    """One RabbitMQ node with the management plugin, and an epmd of its own."""

    port: int
    api_port: int
    process: Process
    name: str

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def api_url(self) -> str:
        return f"http://guest:guest@127.0.0.1:{self.api_port}/api/"

    def start(self) -> None:
        # The management plugin's listener comes up last.
        self.process.start(lambda: self.greets() and (not self.api_port or accepts(self.api_port)))

    def greets(self) -> bool:
        """Whether it answers a client. The kernel takes connections for it also while it has no time for them."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(client.recv(1))
        except OSError:
            return False

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def ctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` says to ``arguments``."""
        command = [str(RABBITMQ.with_name("rabbitmqctl")), "--node", self.name, *arguments]
        environ = {**os.environ, **self.process.environ}
        answer = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
        return answer.stdout

    def purge(self) -> None:
        """Empties every queue. None is deleted: a client declares a queue but once in a connection."""
        for queue in json.loads(self._api("GET", "queues")):
            if not queue["exclusive"]:
                self._api("DELETE", "queues/%2F/" + quote(queue["name"], safe="") + "/contents")

    def _api(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.api_port}/api/{path}", method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (the address is ours)
            return bytes(answer.read())


@contextmanager
def rabbitmq_server(folder: Path, *, management: bool = True) -> Iterator[RabbitMQServer]:
    """A RabbitMQ node whose every file lies in ``folder``."""
    with epmd(folder) as epmd_port:
        server = rabbitmq_node(folder, epmd_port, management=management)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def epmd(folder: Path) -> Iterator[int]:
    """The port mapper by which the nodes of one cluster find each other, and nobody else's."""
    _needs(RABBITMQ, "rabbitmq-server")
    port = free_port()
    mapper = Process([str(EPMD), "-port", str(port), "-address", "127.0.0.1"], folder / "epmd.log")
    mapper.start(lambda: accepts(port))
    try:
        yield port
    finally:
        mapper.stop()


def rabbitmq_node(
    folder: Path, epmd_port: int, *, management: bool = False, settings: str = "", home: Path | None = None
) -> RabbitMQServer:
    """A node not started yet; those of one cluster have one ``home``, where their common secret is."""
    port = free_port()
    api_port = free_port() if management else 0
    # Nothing is written to the user's home or to /var/lib/rabbitmq, and no other node's epmd is asked.
    environ = {
        "HOME": str(home or folder),
        "RABBITMQ_NODENAME": f"dv{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Two schedulers: the tests share the machine with what they test.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
    }
    (folder / "rabbitmq-env.conf").write_text("")
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n" if management else "[].\n")
    (folder / "rabbitmq.conf").write_text(
        "loopback_users = none\n"
        + (f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {api_port}\n" * management)
        + settings
    )
    process = Process([str(RABBITMQ)], folder / "rabbitmq.log", environ=environ)
    return RabbitMQServer(port, api_port, process, environ["RABBITMQ_NODENAME"])


@dataclass
class PostgreSQLServer:
    """One PostgreSQL cluster. :meth:`create_database` gives each test a database of its own."""

    port: int
    process: Process
    psql: Path

    def create_database(self, name: str) -> str:
        """A new, empty database; returns its URL."""
        self._run(f'CREATE DATABASE "{name}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, name: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _run(self, sql: str) -> None:
        command = [str(self.psql), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-qc", sql, "postgres"]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def start(self) -> None:
        self.process.start(self._answers)

    def stop(self) -> None:
        # "Fast": to SIGTERM it would wait for every client to leave.
        self.process.stop(signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()

    def _answers(self) -> bool:
        command = [str(self.psql.with_name("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, timeout=10, check=False).returncode == 0


@contextmanager
def postgresql_server(folder: Path) -> Iterator[PostgreSQLServer]:
    """A PostgreSQL cluster; run as the user postgres where the tests run as root, whom PostgreSQL refuses."""
    binaries = newest_postgresql()
    user = "postgres" if os.geteuid() == 0 else ""
    with _folder_for(user, folder) as place:
        data = place / "data"
        # fsync protects from power cuts, not from kill -9: without it the tests are quicker and still honest.
        options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
        initdb += ["--locale=C.UTF-8"]
        subprocess.run(
            initdb,
            cwd=place,
            user=user or None,
            group=pwd.getpwnam(user).pw_gid if user else None,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_WITHIN_S,
        )
        port = free_port()
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options]
        server = PostgreSQLServer(port, Process(command, place / "postgresql.log", user=user), binaries / "psql")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def newest_postgresql() -> Path:
    """The folder of the newest PostgreSQL server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise ServerMissingError("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


@contextmanager
def _folder_for(user: str, folder: Path) -> Iterator[Path]:
    """``folder``, or one of the user's own outside it: pytest closes its folders to other users at every start."""
    if not user:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="devicevault-postgresql-") as outside:
        shutil.chown(outside, user)
        yield Path(outside)


def _needs(program: Path, package: str) -> None:
    if not program.exists():
        raise ServerMissingError(f"{program} is missing: apt-get install {package}")
