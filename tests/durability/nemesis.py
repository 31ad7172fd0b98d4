"""The faults: each breaks one thing for a while and mends it again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from redis import Redis

from tests.durability.gate import Gate
from tests.durability.stage import Stage
from tests.durability.supervisor import Unit
from tests.servers import Process, accepts, reserved, wait_until

#: Seconds a fault lasts: at least, and at most. A killed daemon is started again by its supervisor, not by us.
LASTS_S: Final = (1.5, 5.0)
#: Some last longer than a client of Redis, a sender to RabbitMQ or a session waits for an answer.
LONG_SHARE: Final = 0.15
LONG_LASTS_S: Final = (11.0, 17.0)
#: Seconds from a fault's end until every worker has collected anew, both consumers read, and the results are stored.
DAEMON_BOUND_S: Final = 60
#: Celery was seen to need up to 36 s to consume again after RabbitMQ was back, and looks for the tasks a Redis
#: broker was to give back only every few seconds.
BROKER_BOUND_S: Final = 90
SERVICE_BOUND_S: Final = 60
#: Seconds for a killed server's processes to be gone.
GONE_WITHIN_S: Final = 15

Break = Callable[[Stage, random.Random], AbstractContextManager[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    name: str
    #: The fault lasts as long as this context.
    breaking: Break
    bound_s: float
    #: Whether a task may be given to a worker again by it, and the device be visited once more.
    redelivers: bool = False


def kinds_for(stage: Stage) -> list[Kind]:
    """Every kind of fault this stage can suffer."""
    kinds = [
        Kind("worker killed", _killed(lambda stage: stage.workers), DAEMON_BOUND_S, redelivers=True),
        Kind("worker restarted", _restarted, DAEMON_BOUND_S, redelivers=True),
        Kind("worker frozen", _frozen(lambda stage: stage.workers), DAEMON_BOUND_S),
        Kind("consumer killed", _killed(lambda stage: stage.consumers), DAEMON_BOUND_S),
        Kind("consumer frozen", _frozen(lambda stage: stage.consumers), DAEMON_BOUND_S),
        Kind("broker unreachable", _refusing(lambda stage: stage.broker_gate), BROKER_BOUND_S, redelivers=True),
        Kind("broker silent", _silent(lambda stage: stage.broker_gate), BROKER_BOUND_S, redelivers=True),
        Kind("Redis unreachable", _refusing(lambda stage: stage.redis_gate), SERVICE_BOUND_S),
        Kind("Redis silent", _silent(lambda stage: stage.redis_gate), SERVICE_BOUND_S),
        *_redis_kinds(stage),
        *_database_kinds(stage),
    ]
    if stage.rabbitmq is not None:
        kinds += [
            Kind("broker killed", _rabbitmq_killed, BROKER_BOUND_S, redelivers=True),
            Kind("broker frozen", _rabbitmq_frozen, BROKER_BOUND_S, redelivers=True),
        ]
    return kinds


def _redis_kinds(stage: Stage) -> list[Kind]:
    """Where Redis is the broker as well, its faults are the broker's."""
    also = " (the broker, too)" if stage.rabbitmq is None else ""
    bound_s = SERVICE_BOUND_S if stage.rabbitmq is not None else BROKER_BOUND_S
    return [
        Kind(f"Redis killed{also}", _redis_killed, bound_s, redelivers=bool(also)),
        Kind(f"Redis frozen{also}", _redis_frozen, bound_s, redelivers=bool(also)),
        Kind(f"Redis' memory full{also}", _redis_full, bound_s, redelivers=bool(also)),
        Kind(f"Redis' disk full{also}", _redis_disk_full, bound_s, redelivers=bool(also)),
    ]


def _database_kinds(stage: Stage) -> list[Kind]:
    if stage.postgresql is None:
        return [
            Kind("database locked", _sqlite_locked, SERVICE_BOUND_S),
            Kind("database's disk full", _database_disk_full, SERVICE_BOUND_S),
        ]
    return [
        Kind("database stopped", _postgresql_stopped, SERVICE_BOUND_S),
        Kind("database crashed", _postgresql_crashed, SERVICE_BOUND_S),
        Kind("database unreachable", _refusing(_database_gate), SERVICE_BOUND_S),
        Kind("database silent", _silent(_database_gate), SERVICE_BOUND_S),
    ]


def schedule(kinds: Sequence[Kind], count: int, chance: random.Random) -> list[Kind]:
    """At least ``count`` faults in an order of chance, every kind once before any comes again."""
    planned: list[Kind] = []
    while len(planned) < count:
        planned += chance.sample(kinds, len(kinds))
    return planned[: max(count, len(kinds))]


def _last(chance: random.Random) -> None:
    is_long = chance.random() < LONG_SHARE
    time.sleep(chance.uniform(*(LONG_LASTS_S if is_long else LASTS_S)))


def _killed(units: Callable[[Stage], Sequence[Unit]]) -> Break:
    @contextmanager
    def killed(stage: Stage, chance: random.Random) -> Iterator[None]:
        chance.choice(units(stage)).kill()
        yield

    return killed


@contextmanager
def _restarted(stage: Stage, chance: random.Random) -> Iterator[None]:
    unit = chance.choice(stage.workers)
    yield
    unit.restart()


def _frozen(units: Callable[[Stage], Sequence[Unit]]) -> Break:
    @contextmanager
    def frozen(stage: Stage, chance: random.Random) -> Iterator[None]:
        unit = chance.choice(units(stage))
        unit.freeze()
        try:
            yield
            _last(chance)
        finally:
            unit.thaw()

    return frozen


def _refusing(gate: Callable[[Stage], Gate]) -> Break:
    @contextmanager
    def refusing(stage: Stage, chance: random.Random) -> Iterator[None]:
        gate(stage).refuse()
        try:
            yield
            _last(chance)
        finally:
            gate(stage).open()

    return refusing


def _silent(gate: Callable[[Stage], Gate]) -> Break:
    @contextmanager
    def silent(stage: Stage, chance: random.Random) -> Iterator[None]:
        gate(stage).silence()
        try:
            yield
            _last(chance)
        finally:
            gate(stage).open()

    return silent


def _database_gate(stage: Stage) -> Gate:
    assert stage.database_gate is not None
    return stage.database_gate


@contextmanager
def _port_kept(port: int) -> Iterator[None]:
    """While a server is down, no other process is given its port."""
    # The last of its processes takes a moment to die.
    wait_until(lambda: not accepts(port), GONE_WITHIN_S, or_say=lambda: f"somebody still listens at port {port}")
    with reserved(port):
        yield


@contextmanager
def _rabbitmq_killed(stage: Stage, chance: random.Random) -> Iterator[None]:
    assert stage.rabbitmq is not None
    stage.rabbitmq.kill()
    with _port_kept(stage.rabbitmq.port):
        try:
            yield
            _last(chance)
        finally:
            stage.rabbitmq.start()


@contextmanager
def _rabbitmq_frozen(stage: Stage, chance: random.Random) -> Iterator[None]:
    assert stage.rabbitmq is not None
    with _stopped(stage.rabbitmq.process):
        yield
        _last(chance)


@contextmanager
def _redis_killed(stage: Stage, chance: random.Random) -> Iterator[None]:
    stage.redis.kill()
    with _port_kept(stage.redis.port):
        try:
            yield
            _last(chance)
        finally:
            stage.redis.start()


@contextmanager
def _redis_frozen(stage: Stage, chance: random.Random) -> Iterator[None]:
    with _stopped(stage.redis.process):
        yield
        _last(chance)


@contextmanager
def _stopped(process: Process) -> Iterator[None]:
    """A server's whole process group stands still."""
    assert process.process is not None
    group = process.process.pid
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


@contextmanager
def _redis_full(stage: Stage, chance: random.Random) -> Iterator[None]:
    with Redis.from_url(stage.redis.url) as redis:
        used = redis.info("memory")["used_memory"]
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", used)
        try:
            yield
            _last(chance)
        finally:
            redis.config_set("maxmemory", 0)


@contextmanager
def _redis_disk_full(stage: Stage, chance: random.Random) -> Iterator[None]:
    stage.redis_disk.fill()
    try:
        yield
        _last(chance)
    finally:
        stage.redis_disk.clear()


@contextmanager
def _sqlite_locked(stage: Stage, chance: random.Random) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(stage.database_file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        _last(chance)
        connection.execute("ROLLBACK")


@contextmanager
def _database_disk_full(stage: Stage, chance: random.Random) -> Iterator[None]:
    stage.database_disk.fill()
    try:
        yield
        _last(chance)
    finally:
        stage.database_disk.clear()


@contextmanager
def _postgresql_stopped(stage: Stage, chance: random.Random) -> Iterator[None]:
    assert stage.postgresql is not None
    stage.postgresql.stop()
    with _port_kept(stage.postgresql.port):
        try:
            yield
            _last(chance)
        finally:
            stage.postgresql.start()


@contextmanager
def _postgresql_crashed(stage: Stage, chance: random.Random) -> Iterator[None]:
    assert stage.postgresql is not None
    # Without a checkpoint, as after a crash. kill -9 of the postmaster alone would leave its children behind.
    stage.postgresql.process.stop(signal.SIGQUIT)
    with _port_kept(stage.postgresql.port):
        try:
            yield
            _last(chance)
        finally:
            stage.postgresql.start()
