"""The accounts of a remote group's workers on RabbitMQ and Redis, with no more rights than they need."""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from devicevault import names, rabbitmq
from devicevault.settings import Settings
from devicevault.settings.sentinel import servers_in

#: Celery's own names on the broker: orders to workers, their answers, and the events that Flower shows.
ORDERS: Final = "celery.pidbox"
ANSWERS: Final = "reply.celery.pidbox"
EVENTS: Final = "celeryev"

#: By command category; the keys below say on what. ``-@dangerous`` takes INFO away, which tells of memory only.
REDIS_COMMANDS: Final = (
    "-@all +@connection +@keyspace +@string +@hash +@scripting -@dangerous +info +time "
    "+xadd +xlen +xinfo|groups +xgroup|create"
)


def account_of(group: str) -> str:
    """The user of a group's workers, on the broker and on Redis."""
    return f"devicevault-{group}"


def rabbitmq_permissions(group: str) -> tuple[str, str, str]:
    """What the group's user may configure, write and read, as RabbitMQ's patterns: its own queue, and no other."""
    queue, orders = re.escape(names.queue_for(group)), re.escape(ORDERS)
    # A worker of several processes has a mailbox for each: dmz.1@host.
    mailbox = rf"{group}(\.[0-9]+)?@.*\.{orders}"
    answers, events = re.escape(ANSWERS), EVENTS
    return (
        f"^({queue}|{orders}|{mailbox}|{answers}|{events})$",
        f"^({queue}|{mailbox}|{answers}|{events})$",
        f"^({queue}|{orders}|{mailbox})$",
    )


def rabbitmq_definitions(broker: SplitResult, group: str) -> str:
    """The user in the worker's URL of the broker, with its rights, as ``rabbitmqctl import_definitions`` reads them.

    With Erlang 27, that of Debian 13, rabbitmqctl waits for ever for a password on its standard input; a hash of a
    random password may lie in a file.
    """
    user = unquote(broker.username or "")
    configure, write, read = rabbitmq_permissions(group)
    virtual_host = rabbitmq.virtual_host_of(broker.geturl())
    rights = {"vhost": virtual_host, "configure": configure, "write": write, "read": read}
    login = {"password_hash": rabbitmq.password_hash(unquote(broker.password or "")), "tags": []}
    return json.dumps(
        {
            "users": [{"name": user, "hashing_algorithm": rabbitmq.HASHING, **login}],
            "permissions": [{"user": user, **rights}],
        }
    )


def redis_rules(group: str, stream: str) -> str:
    """The group's user in Redis, as ``ACL SETUSER`` takes it, without its password.

    Workers add to the stream and can't read it: a stolen account brings no configuration of other groups.
    """
    keys = (
        stream,
        names.LOCK_PREFIX + "*",
        names.WORKERS,
        names.PAUSED_GROUPS,
        names.CANCELLED_PREFIX + "*",
        names.DONE_PREFIX + "*",
        names.BEGUN_PREFIX + "*",
        names.PACE_PREFIX + group,
        names.REFUSED_PREFIX + group,
    )
    return " ".join(["reset", "on", *(f"~{key}" for key in keys), REDIS_COMMANDS])


def redis_broker_rules(group: str, database: str) -> str:
    """What the user may besides where Redis is the broker: there, unacknowledged requests of all groups lie together.

    Only RabbitMQ keeps the groups' workers apart.
    """
    queue = names.queue_for(group)
    keys = (queue, rf"{queue}\x06\x16?", "unacked*", "_kombu.*", f"*{ORDERS}*")
    channels = (f"/{database}.{ORDERS}", f"/{database}.{EVENTS}/*")
    rules = [*(f'"~{key}"' for key in keys), *(f'"&{channel}"' for channel in channels)]
    return " ".join([*rules, "+@list +@set +@sortedset +@pubsub +@transaction"])


def account_commands(settings: Settings, group: str) -> str:
    """A shell script that makes the accounts, for the hosts of broker and Redis.

    ``settings`` are the worker's. No password is in any command line, where ``ps`` would see it.
    """
    # Every node of a broker knows the same user.
    broker = urlsplit(settings.broker_url.partition(";")[0])
    user, _, password = servers_in(settings.redis_url)[0].partition(":")
    lines = ["set -eu"]
    if settings.has_amqp_broker:
        lines += [
            "# On RabbitMQ's host. Its rabbitmqctl reads the file as another user; there is a hash in it, no password:",
            "accounts=$(mktemp)",
            "trap 'rm -f \"$accounts\"' EXIT",
            'chmod 644 "$accounts"',
            "cat >\"$accounts\" <<'ACCOUNTS'",
            rabbitmq_definitions(broker, group),
            "ACCOUNTS",
            'rabbitmqctl --quiet import_definitions "$accounts" </dev/null',
        ]
    rules = redis_rules(group, settings.results_stream)
    if not settings.has_amqp_broker:
        rules += " " + redis_broker_rules(group, broker.path.strip("/") or "0")
    lines += [
        "# On Redis' host; $REDISCLI_AUTH may hold the password of a user who may change its users:",
        "redis-cli -e <<'RULES'",
        f"ACL SETUSER {unquote(user)} {rules} >{unquote(password)}",
        "CONFIG REWRITE",
        "RULES",
    ]
    return "\n".join(lines) + "\n"
