"""A Redis primary with replicas, and the sentinels that watch over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from tests.servers import REDIS, Process, accepts, reserved, wait_until
from tests.servers import RedisServer as Server

MASTER: Final = "vault"
PASSWORD: Final = "canary-server"
SENTINEL_PASSWORD: Final = "canary-sentinel"
#: What docs/scaling.md asks for.
SERVER_SETTINGS: Final = ("appendonly yes", "min-replicas-to-write 1", "min-replicas-max-lag 10")
#: A primary that is silent for so long is taken for dead.
DOWN_AFTER_MS: Final = 1500


@dataclass(frozen=True)
class WatchedRedis:
    """The servers, the first of which is the primary at first."""

    servers: list[Server]
    sentinels: list[Server]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"sentinel://:{PASSWORD}@{places}/1?master={MASTER}&sentinel_password={SENTINEL_PASSWORD}"

    def primary(self) -> int:
        """The port of whoever the first sentinel that answers takes for the primary."""
        for sentinel in self.sentinels:
            with Redis(port=sentinel.port, password=SENTINEL_PASSWORD) as asked:
                try:
                    found: Any = asked.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", MASTER)
                except RedisError:
                    continue
                return int(found[1])
        return 0

    def of(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def replicas_in_step(self) -> int:
        with Redis(port=self.primary(), password=PASSWORD) as asked:
            info: Any = asked.info("replication")
        return sum(info.get(f"slave{number}", {}).get("state") == "online" for number in range(len(self.servers)))


@contextmanager
def watched_redis(folder: Path, replicas: int = 2) -> Iterator[WatchedRedis]:
    """As docs/scaling.md asks for: append-only files, and no write without a replica."""
    with ExitStack() as stack:
        servers: list[Server] = []
        for number in range(replicas + 1):
            told = [
                f"requirepass {PASSWORD}",
                f"masterauth {PASSWORD}",
                *SERVER_SETTINGS,
                'save ""',
                "repl-diskless-sync-delay 0",
            ]
            if servers:
                told.append(f"replicaof 127.0.0.1 {servers[0].port}")
            servers.append(_running(stack, folder / f"redis{number}", told))
        sentinels = [
            _running(
                stack,
                folder / f"sentinel{number}",
                [
                    f"requirepass {SENTINEL_PASSWORD}",
                    f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
                    f"sentinel monitor {MASTER} 127.0.0.1 {servers[0].port} 2",
                    f"sentinel auth-pass {MASTER} {PASSWORD}",
                    f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
                    f"sentinel failover-timeout {MASTER} 6000",
                ],
                "--sentinel",
            )
            for number in range(3)
        ]
        watched = WatchedRedis(servers, sentinels)
        wait_until(lambda: _is_whole(watched), 60, or_say=lambda: "Redis and its sentinels have not found each other")
        yield watched


def _running(stack: ExitStack, folder: Path, told: list[str], *options: str) -> Server:
    folder.mkdir()
    # No other server is given the port while this one is down.
    port = stack.enter_context(reserved())
    config = folder / "redis.conf"
    config.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *told, ""]))
    server = Server(port, Process([str(REDIS), str(config), *options], folder / "redis.log"))
    server.process.start(lambda: accepts(port))
    stack.callback(server.stop)
    return server


def _is_whole(watched: WatchedRedis) -> bool:
    for sentinel in watched.sentinels:
        with Redis(port=sentinel.port, password=SENTINEL_PASSWORD) as asked:
            state: Any = asked.execute_command("SENTINEL MASTER", MASTER)
        told = {
            str(_text(name)): value for name, value in (state.items() if isinstance(state, dict) else _pairs(state))
        }
        if (int(told["num-slaves"]), int(told["num-other-sentinels"])) != (
            len(watched.servers) - 1,
            len(watched.sentinels) - 1,
        ):
            return False
    return watched.replicas_in_step() == len(watched.servers) - 1


def _pairs(flat: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
