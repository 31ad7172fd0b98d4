"""Redis, the stream of results in it, and the consumer that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoPermissionError

from devicevault import names
from devicevault.doctor.finding import Finding, faults_of
from devicevault.errors import DeviceVaultError
from devicevault.settings import Settings
from devicevault.steering import paused_groups, refused_logins
from devicevault.stream import connect_redis, unavailable, unread_results
from devicevault.stream.group import group_of
from devicevault.stream.sentinel import sentinels_of

REDIS: Final = "Redis"
PERSISTENCE: Final = "Redis persistence"
REPLICAS: Final = "Redis replicas"
CONSUMER: Final = "consumer"
DEAD: Final = "dead letters"
PAUSED: Final = "paused groups"
REFUSED: Final = "credentials"

#: A batch is written within seconds; what was read and is not stored after this time is stuck.
STUCK_AFTER_S: Final = 60
START: Final = "systemctl start devicevault-consumer; then journalctl -u devicevault-consumer tells what stops it"


def look(settings: Settings) -> Iterator[Finding]:
    """Whether results get into the stream, stay there, and are read."""
    try:
        with connect_redis(settings.redis_url) as redis, unavailable(redis):
            info: Any = redis.info()
            yield Finding.ok(REDIS, f"version {info.get('redis_version', '?')} answers")
            yield from judge_persistence(info)
            if (sentinels := sentinels_of(redis)) is not None:
                yield judge_replicas(info, sentinels.replicas)
            yield from _consumer(redis, settings.results_stream)
            yield from _dead_letters(redis, settings.results_stream + names.DEAD_LETTER_SUFFIX)
            yield from _paused(redis)
            yield from _refused(redis, settings)
    except DeviceVaultError as error:
        yield from faults_of(REDIS, error)
        yield Finding.unknown(CONSUMER, "not looked at: Redis does not answer")


def judge_persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether this Redis keeps what it acknowledged, by its own INFO."""
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if int(info.get("maxmemory", 0)) and policy != "noeviction":
        yield Finding.fault(
            PERSISTENCE,
            f"maxmemory-policy is {policy}: Redis throws results and locks away when its memory is full",
            "set maxmemory-policy noeviction in /etc/redis/redis.conf",
        )
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding.fault(
            PERSISTENCE,
            "Redis could not write to its disk",
            "make room there; its log tells more: journalctl -u redis-server",
        )
    if int(info.get("aof_enabled", 0)):
        yield Finding.ok(PERSISTENCE, "append-only file is on: results outlive a restart of Redis")
    else:
        yield Finding.warning(
            PERSISTENCE,
            "append-only file is off: a restart of Redis loses results that are not stored yet",
            "set appendonly yes in /etc/redis/redis.conf, and at once: redis-cli CONFIG SET appendonly yes",
        )


def judge_replicas(info: Mapping[str, Any], needed: int) -> Finding:
    """Whether a primary that Sentinel watches has replicas to be followed by, and takes nothing without them."""
    connected = int(info.get("connected_slaves", 0))
    if connected < max(1, needed):
        return Finding.fault(
            REPLICAS,
            f"{connected} replicas follow the primary, and {needed} must have each result: workers hold on to theirs",
            "start them; redis-cli INFO replication tells which there are",
        )
    if "min_slaves_good_slaves" not in info:
        return Finding.warning(
            REPLICAS,
            "a primary that is cut off goes on taking locks and results, which are gone when it is back",
            "set min-replicas-to-write 1 on each server (docs/scaling.md)",
        )
    return Finding.ok(REPLICAS, f"{connected} follow the primary")


def _consumer(redis: Redis, stream: str) -> Iterator[Finding]:
    group = group_of(redis, stream)
    if group is None:
        waiting = redis.xlen(stream)
        text = f"nobody has ever read stream {stream}" + (f", where {waiting} results wait" if waiting else "")
        yield Finding.fault(CONSUMER, text, START)
        return
    oldest: Any = redis.xpending_range(stream, names.CONSUMER_GROUP, "-", "+", 1) if group["pending"] else []
    yield judge_consumer(stream, {**group, "lag": unread_results(redis, stream)}, oldest, _silences(redis))


def _silences(redis: Redis) -> list[int] | None:
    """For each consumer connected to Redis, seconds since it last asked; ``None`` where this user may not ask.

    ``XINFO CONSUMERS`` won't do: in Redis 7.0 it knows nothing of a consumer that waits for its first result.
    """
    try:
        clients: Any = redis.client_list()
    except NoPermissionError:
        return None
    return [int(client.get("idle", 0)) for client in clients if client.get("name") == names.CONSUMER_CLIENT]


def judge_consumer(
    stream: str, group: Mapping[str, Any], oldest: Sequence[Mapping[str, Any]], silences: Sequence[int] | None
) -> Finding:
    """Whether results are being stored, by what Redis says of the consumer group and its clients (``silences``)."""
    unread, unstored = int(group.get("lag") or 0), int(group["pending"])
    waiting = f"{unread + unstored} results wait" if unread or unstored else "nothing waits"
    if silences is not None and not silences:
        return Finding.fault(CONSUMER, f"no consumer is connected to Redis to read stream {stream}; {waiting}", START)
    stuck_s = max((int(entry["time_since_delivered"]) // 1000 for entry in oldest), default=0)
    if stuck_s > STUCK_AFTER_S:
        text = f"results do not get into the database: {unstored} were read and not stored, the oldest {stuck_s} s ago"
        fix = "journalctl -u devicevault-consumer tells why; mostly the database is away, locked or full"
        return Finding.fault(CONSUMER, f"{text}; {waiting}", fix)
    if silences and min(silences) > STUCK_AFTER_S:
        # Whatever it does not store it holds as pending, and otherwise it asks every few seconds.
        text = f"the consumer is connected and has asked for nothing for {min(silences)} s: it hangs"
        fix = "systemctl restart devicevault-consumer; what it had in hand it finds again"
        return Finding.fault(CONSUMER, f"{text}; {waiting}", fix)
    if silences is None:
        return Finding.unknown(
            CONSUMER, f"this user may not ask Redis who reads stream {stream}; {waiting}", "allow it CLIENT LIST"
        )
    return Finding.ok(CONSUMER, f"reads stream {stream}; {waiting}")


def _dead_letters(redis: Redis, stream: str) -> Iterator[Finding]:
    newest: Any = redis.xrevrange(stream, count=1)
    if not newest:
        yield Finding.ok(DEAD, "none")
        return
    reason = _text(newest[0][1].get(b"dead_reason", b"no reason told"))
    yield Finding.fault(
        DEAD,
        f"{redis.xlen(stream)} results could not be stored; the newest because: {reason}",
        "look: devicevault deadletter list; mend the cause, then: devicevault deadletter retry --all",
    )


def _paused(redis: Redis) -> Iterator[Finding]:
    for group, pause in paused_groups(redis).items():
        yield Finding.warning(
            PAUSED,
            f"group {group} is paused, by {pause.by or 'somebody'} since {pause.since or 'some time'}",
            f"let its workers go on: devicevault resume {group}",
        )


def _refused(redis: Redis, settings: Settings) -> Iterator[Finding]:
    for key in sorted(map(_text, redis.scan_iter(match=names.REFUSED_PREFIX + "*", count=1000))):
        group = key.removeprefix(names.REFUSED_PREFIX)
        most = settings.for_group(group).ssh.max_refused_logins
        for credential, count in refused_logins(redis, group).items():
            if most and count >= most:
                yield Finding.warning(
                    REFUSED,
                    f"group {group} stopped using credential {credential} after {count} refused logins in a row",
                    f"see that it is right in the workers' credentials file, then: devicevault resume {group}",
                )


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
