"""One chain of times, each link longer than the one before.

connect < session deadline < lock renewal horizon < what the broker waits for an acknowledgement. Were the last one
shorter, the broker would give a running collection to a second worker.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from devicevault.errors import Fault
from devicevault.settings.schema import TURN_MAX_S, Settings
from devicevault.settings.sources import DEFAULT, Key, Origin
from devicevault.tomlfile import dotted


def faults(settings: Settings, origins: Mapping[Key, Origin], wrong: Collection[Key] = ()) -> list[Fault]:
    """A fault for each link out of order, in general and in each group that changes it.

    A link with one of the ``wrong`` values, which stand at their defaults in ``settings``, is not judged.
    """
    found = _faults(settings, (), origins, wrong)
    for group in settings.groups:
        found += _faults(settings.for_group(group), ("groups", group), origins, wrong)
    return list(dict.fromkeys(found))


def _faults(settings: Settings, scope: Key, origins: Mapping[Key, Origin], wrong: Collection[Key]) -> list[Fault]:
    found: list[Fault] = []
    ssh = settings.ssh
    connecting: list[Key] = [("ssh", "deadline_s"), ("ssh", "connect_timeout_s")]
    if ssh.connect_timeout_s >= ssh.deadline_s and not _in_doubt(connecting, scope, wrong):
        problem = (
            f"a session must outlast its connection: connect_timeout_s is {ssh.connect_timeout_s:g} s, "
            f"deadline_s {ssh.deadline_s:g} s"
        )
        fix = "raise ssh.deadline_s or lower ssh.connect_timeout_s"
        found.append(_blame(connecting, scope, origins, problem, fix))
    limit_s = settings.acknowledgement_limit_s
    limit = "amqp_consumer_timeout_s" if settings.has_amqp_broker else "redis_visibility_timeout_s"
    running: list[Key] = [("ssh", "deadline_s"), ("ssh", "attempts"), ("queue", limit)]
    task_s = settings.task_limit_s(ssh.deadline_s)
    if task_s >= limit_s and not _in_doubt([*running, ("broker_url",)], scope, wrong):
        problem = (
            f"{ssh.attempts} sessions of {ssh.deadline_s:g} s, and publishing, may take {task_s:g} s, but "
            f"the broker takes a task for lost after {limit_s} s (queue.{limit})"
        )
        fix = f"lower ssh.deadline_s or ssh.attempts, or raise queue.{limit}"
        if settings.has_amqp_broker:
            fix += " together with RabbitMQ's own consumer_timeout"
        found.append(_blame(running, scope, origins, problem, fix))
    worker = settings.worker
    pacing: list[Key] = [("worker", "sessions_per_s"), ("worker", "concurrency")]
    if worker.sessions_per_s and not _in_doubt(pacing, scope, wrong):
        turn_s = worker.concurrency / worker.sessions_per_s
        if turn_s > TURN_MAX_S:
            problem = (
                f"with {worker.concurrency} sessions at once and {worker.sessions_per_s:g} a second, a request in hand "
                f"waits up to {turn_s:g} s for its turn; at most {TURN_MAX_S} s is sound"
            )
            fix = "lower worker.concurrency or raise worker.sessions_per_s"
            found.append(_blame(pacing, scope, origins, problem, fix))
    return found


def _in_doubt(keys: list[Key], scope: Key, wrong: Collection[Key]) -> bool:
    return any(key in wrong or (*scope, *key) in wrong for key in keys)


def _blame(keys: list[Key], scope: Key, origins: Mapping[Key, Origin], problem: str, fix: str) -> Fault:
    """The fault, told of the first of ``keys`` that somebody set, a group's own setting before the general one."""
    for key in [(*scope, *key) for key in keys] + keys:
        if key in origins:
            return origins[key].fault(key, problem, fix)
    return Fault(DEFAULT.source, problem, fix, dotted(keys[0]))
