"""A vault and a worker's host beside it, joined by the very words of docs/remote-workers.md."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.certificates import Authority
from tests.system import vault
from tests.system.machine import Machine
from tests.system.network import ADDRESSES, connect

PAGE: Final = Path(__file__).parents[2] / "docs" / "remote-workers.md"
#: The vault's name, as the page calls it.
VAULT_NAME: Final = "vault.example.net"
REDIS_PASSWORD: Final = "kept by the vault"
WORKER: Final = f"devicevault-worker@{vault.GROUP}"
CONFIGURED: Final = {"rabbitmq": "rabbitmq.conf", "redis": "redis.conf"}


@dataclass(frozen=True)
class Site:
    """Two hosts; broker, Redis and consumer run on the one, the worker on the other."""

    vault: Machine
    far: Machine

    def doctor(self) -> str:
        """What the vault's doctor says, a line for each thing he looked at."""
        return self.vault.try_run("devicevault", "doctor").stdout


def blocks(*words: str) -> list[str]:
    """What the page says to type or to write where each of these words is, one block after the other."""
    every = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [next(block for block in every if word in block) for word in words]


def join(site: Site, package: Path) -> None:
    """Install the package on both, and follow the page from its top to its bottom."""
    for machine in (site.vault, site.far):
        machine.install(package)
    connect(site.vault, site.far)
    with site.far.path("/etc/hosts").open("a") as hosts:
        hosts.write(f"{ADDRESSES[0]} {VAULT_NAME}\n")
    _open_vault(site.vault)
    export, import_ = blocks("join export", "join import")
    site.vault.run("sh", "-ec", f"cd /root; export REDISCLI_AUTH='{REDIS_PASSWORD}'\n{export}")
    shutil.copy(site.vault.path("/root/dmz.join"), site.far.path("/root/dmz.join"))
    site.far.path("/root/dmz.join").chmod(0o600)
    write_credential(site.far)
    site.far.run("sh", "-ec", "cd /root; editor() { :; }\n" + import_)


def _open_vault(machine: Machine) -> None:
    """Broker and Redis for other hosts, and the vault on them."""
    authority = Authority()
    machine.path("/etc/ssl/site-authority.pem").write_bytes(authority.certificate)
    tls_broker, tls_redis, guarded = blocks("listeners.ssl", "tls-port", "requirepass")
    added = {"rabbitmq": tls_broker, "redis": tls_redis + guarded.replace("PASSWORD", f'"{REDIS_PASSWORD}"')}
    for service, file in CONFIGURED.items():
        authority.issue(machine.path(f"/etc/{service}"), VAULT_NAME)
        machine.run("chown", f"{service}:", f"/etc/{service}/key.pem")
        with machine.path(f"/etc/{service}/{file}").open("a") as configuration:
            configuration.write("\n" + added[service])
    machine.run("rabbitmq-plugins", "enable", "--offline", "rabbitmq_management")
    machine.run("systemctl", "restart", "rabbitmq-server", "redis-server")
    password = REDIS_PASSWORD.replace(" ", "%20")
    machine.path("/etc/devicevault/config.d/redis.toml").write_text(
        f'redis_url = "redis://:{password}@localhost:6379/1"\n'
    )
    vault.start(machine, "devicevault-consumer")


def write_credential(machine: Machine, name: str = "default") -> None:
    """What opens the simulated devices."""
    credentials = f'[credentials.{name}]\nusername = "backup"\npassword = "{vault.PASSWORD}"\n'
    machine.path("/etc/devicevault/credentials.toml").write_text(credentials)
