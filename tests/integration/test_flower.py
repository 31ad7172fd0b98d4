"""``devicevault-flower`` on a real RabbitMQ: closed, read-only, and silent about its password."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from devicevault.demo.processes import Daemon
from devicevault.errors import ExitCode
from tests.servers import RabbitMQServer, free_port

pytestmark = pytest.mark.services

PASSWORD = "Flower-Canary-71"
FLOWER = Path(sys.executable).with_name("devicevault-flower")


@dataclass
class Page:
    """Flower's answers over HTTP."""

    port: int
    daemon: Daemon

    def status(self, path: str, *, password: str = PASSWORD, method: str = "GET") -> int:
        return self._ask(path, password, method)[0]

    def text(self, path: str) -> str:
        return self._ask(path, PASSWORD, "GET")[1]

    def _ask(self, path: str, password: str, method: str) -> tuple[int, str]:
        request = Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if password:
            request.add_header("Authorization", "Basic " + b64encode(f"devicevault:{password}".encode()).decode())
        try:
            with urlopen(request, timeout=20, data=b"" if method == "POST" else None) as answer:  # noqa: S310 - http
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, ""


def environ(broker_url: str, broker_api: str, port: int, password: str, config: Path) -> dict[str, str]:
    config.write_text("")
    return {
        **os.environ,
        "DEVICEVAULT_CONFIG": str(config),
        "DEVICEVAULT_BROKER_URL": broker_url,
        "DEVICEVAULT_BROKER_API": broker_api,
        "DEVICEVAULT_FLOWER__PORT": str(port),
        "DEVICEVAULT_FLOWER__PASSWORD": password,
    }


@pytest.fixture(scope="module")
def page(rabbitmq_node: RabbitMQServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("flower")
    port = free_port()
    variables = environ(rabbitmq_node.url, rabbitmq_node.api_url.rstrip("/"), port, PASSWORD, folder / "config.toml")
    with Daemon("flower", [str(FLOWER)], folder, variables) as daemon:
        daemon.wait_until_ready()
        yield Page(port, daemon)


def test_flower_serves_its_pages_once_it_is_ready(page: Page) -> None:
    assert page.status("/workers") == 200
    assert page.status("/broker") == 200
    assert "amqp://guest:**@" in page.text("/broker")


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/queues/length"])
def test_nothing_is_shown_without_the_password(page: Page, path: str, password: str) -> None:
    assert page.status(path, password=password) == 401


def test_nothing_can_be_changed(page: Page) -> None:
    assert page.status("/api/task/send-task/device.collect", method="POST") == 403
    assert page.status("/api/worker/shutdown/any", method="POST") == 403


def test_the_password_stands_in_no_process_arguments_and_no_log(page: Page) -> None:
    arguments = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert b"devicevault-flower" in arguments
    assert PASSWORD.encode() not in arguments
    assert PASSWORD not in page.daemon.log.read_text()


def test_the_management_api_is_found_without_its_last_slash(page: Page) -> None:
    assert "will show no queues" not in page.daemon.log.read_text()
    assert "API call failed" not in page.daemon.log.read_text()


def test_a_missing_management_plugin_is_told_with_the_command_that_enables_it(
    rabbitmq: RabbitMQServer, tmp_path: Path
) -> None:
    nobody = free_port()
    api = f"http://guest:geheim@127.0.0.1:{nobody}/api/"
    variables = environ(rabbitmq.url, api, free_port(), PASSWORD, tmp_path / "config.toml")
    with Daemon("flower", [str(FLOWER)], tmp_path, variables) as daemon:
        daemon.wait_until_ready()
        log = daemon.log.read_text()
    assert "rabbitmq-plugins enable rabbitmq_management" in log
    assert "geheim" not in log


def test_flower_ends_at_once_though_its_broker_is_away(tmp_path: Path) -> None:
    """Its threads go on asking the broker for ten seconds and more; nobody waits for them."""
    port = free_port()
    variables = environ(
        f"amqp://guest:guest@127.0.0.1:{free_port()}//", "http://127.0.0.1/api/", port, "x", tmp_path / "c"
    )
    flower = subprocess.Popen([FLOWER], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert flower.stderr is not None
        assert any(f"serving http://127.0.0.1:{port}/" in line for line in flower.stderr)
        flower.terminate()
        assert flower.wait(5) == ExitCode.DONE
    finally:
        flower.kill()
        flower.communicate()


def refused(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FLOWER], env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_without_a_password_flower_does_not_start_and_says_where_to_set_it(tmp_path: Path) -> None:
    ended = refused(environ("redis://127.0.0.1:1/0", "http://127.0.0.1/api/", free_port(), "", tmp_path / "c.toml"))
    assert ended.returncode == ExitCode.CONFIGURATION
    assert "DEVICEVAULT_FLOWER__PASSWORD" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_named(page: Page, tmp_path: Path) -> None:
    ended = refused(environ("redis://127.0.0.1:1/0", "http://127.0.0.1/api/", page.port, "x", tmp_path / "c.toml"))
    assert ended.returncode == ExitCode.UNAVAILABLE
    assert f"127.0.0.1:{page.port}" in ended.stderr
    assert "flower.port" in ended.stderr
