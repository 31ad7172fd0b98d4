"""A whole DeviceVault for a test: its files, its daemons as separate processes, and its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devicevault.demo.processes import Daemon
from devicevault.settings import Settings, load_settings

GROUP = "lab"
BIN = Path(sys.executable).parent
COMMAND_WITHIN_S = 120


@dataclass
class Installation:
    """Files in ``folder``, as a package would put them into ``/etc/devicevault``."""

    folder: Path
    broker_url: str
    redis_url: str
    database_url: str
    #: More of ``config.toml``.
    settings_text: str = ""
    #: Added to the environment of every process.
    environ: Mapping[str, str] = field(default_factory=dict)
    daemons: dict[str, Daemon] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.config.write_text(
            f'broker_url = "{self.broker_url}"\n'
            f'redis_url = "{self.redis_url}"\n'
            f'database_url = "{self.database_url}"\n'
            f'credentials_file = "{self.folder}/credentials.toml"\n'
            f'platforms_dir = "{self.folder}/platforms"\n'
            f"{self.settings_text}\n"
            f'[inventory]\npath = "{self.folder}/devices.toml"\n'
            "[vault]\n"
            f'public_key = "{self.folder}/vault.pub"\n'
            f'private_key = "{self.folder}/vault.key"\n'
            f'digest_key = "{self.folder}/vault.digest"\n'
            "[consumer]\nblock_ms = 200\n"
        )
        self.write_inventory("")
        self.write_credentials("")

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def settings(self) -> Settings:
        return load_settings(self.config, {})

    def write_inventory(self, text: str) -> None:
        (self.folder / "devices.toml").write_text(text)

    def write_credentials(self, text: str) -> None:
        path = self.folder / "credentials.toml"
        path.touch(mode=0o600)
        path.write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DEVICEVAULT_")}
        return {**inherited, "DEVICEVAULT_CONFIG": str(self.config), **self.environ}

    def run(self, *arguments: str, within_s: float = COMMAND_WITHIN_S) -> subprocess.CompletedProcess[str]:
        """One ``devicevault`` command, whatever its exit code."""
        return subprocess.run(
            [BIN / "devicevault", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        """What a command prints that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}{self.logs}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """What a command that must succeed prints as JSON."""
        return json.loads(self.ok(*arguments, "--json"))

    @contextmanager
    def running(self, *, groups: tuple[str, ...] = (GROUP,), consumer: bool = True) -> Iterator[None]:
        """The daemons, ready, while the block lasts."""
        commands = {f"worker-{group}": [str(BIN / "devicevault-worker"), group] for group in groups}
        if consumer:
            commands["consumer"] = [str(BIN / "devicevault-consumer")]
        with ExitStack() as stack:
            started = {
                name: stack.enter_context(Daemon(name, command, self.folder, self.environment))
                for name, command in commands.items()
            }
            self.daemons.update(started)
            for daemon in started.values():
                daemon.wait_until_ready()
            yield

    @property
    def logs(self) -> str:
        """The end of every daemon's log."""
        return "".join(f"\n--- {name}\n{daemon.log_tail()}" for name, daemon in self.daemons.items())
