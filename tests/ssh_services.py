"""An SSH server on loopback for what is no terminal: files, commands, subsystems. It can misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncssh

USERNAME = "backup"
PASSWORD = "correct horse"


class _Login(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USERNAME, PASSWORD)


@dataclass(frozen=True)
class Service:
    """A running server."""

    port: int
    #: ``type base64``.
    host_key: str


@contextmanager
def ssh_service(
    *, process: Callable[[Any], Any] | None = None, sftp: Callable[[Any], asyncssh.SFTPServer] | None = None
) -> Iterator[Service]:
    """Serves subsystems and commands with ``process``, and files with ``sftp``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    key = asyncssh.generate_private_key("ssh-ed25519")

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            _Login, "127.0.0.1", 0, server_host_keys=[key], process_factory=process, sftp_factory=sftp, encoding=None
        )

    async def stop() -> None:
        acceptor.close()
        await acceptor.wait_closed()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield Service(acceptor.get_port(), " ".join(key.export_public_key().decode().split()[:2]))
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
