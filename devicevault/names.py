"""Every name that other processes, hosts or people rely on.

A change here is a change of the wire contract and needs an entry in the CHANGELOG.
"""

from __future__ import annotations

import re
from typing import Final

TASK_COLLECT: Final = "device.collect"

DEFAULT_GROUP: Final = "default"
DEFAULT_QUEUE: Final = "default"
GROUP_QUEUE_PREFIX: Final = "collector.group."

#: The same string is a systemd instance (``%i``), a TOML key and a queue suffix. No double underscore:
#: it separates the parts of a variable's name (``DEVICEVAULT_GROUPS__DMZ__WORKER__CONCURRENCY``).
GROUP_PATTERN: Final = re.compile(r"[a-z0-9]([_-]?[a-z0-9])*")

#: Queue arguments can't be changed on a live RabbitMQ queue, so they are fixed from the first release.
QUEUE_MAX_PRIORITY: Final = 9
PRIORITY_SCHEDULED: Final = 3
#: Of a device that told of a change: ahead of the schedule, behind people.
PRIORITY_CHANGE: Final = 5
PRIORITY_PERSON: Final = 6

RESULTS_STREAM: Final = "device:results"
DEAD_LETTER_SUFFIX: Final = ":dead"
CONSUMER_GROUP: Final = "devicevault"
#: How Redis' ``CLIENT LIST`` shows a consumer that is connected.
CONSUMER_CLIENT: Final = "devicevault-consumer"

LOCK_PREFIX: Final = "lock:device:"

#: Redis hash of the workers there are: worker name to what it last told of itself, as JSON.
WORKERS: Final = "workers"
#: Redis hash of the collector groups that are paused: group name to who paused it, and when, as JSON.
PAUSED_GROUPS: Final = "paused:groups"
#: Redis keys of tasks that shall not be started any more, and of tasks whose result is in the stream.
CANCELLED_PREFIX: Final = "cancelled:task:"
DONE_PREFIX: Final = "done:task:"
#: Redis keys that count how often a task was begun and not ended, and that tell when a group's next session may begin.
BEGUN_PREFIX: Final = "begun:task:"
PACE_PREFIX: Final = "pace:group:"
#: Redis hash of each group: refused logins in a row, by credential and fingerprint.
REFUSED_PREFIX: Final = "refused:logins:"

#: The first artifact's text stands in this stream field, as existing consumers of the stream expect.
FIELD_DEVICE_CONFIG: Final = "device_config"

MESSAGE_VERSION: Final = 1

#: Attributes of a log record (``extra=``) and the journal fields they become.
JOURNAL_FIELDS: Final = {
    "device": "DEVICE",
    "group": "GROUP",
    "platform": "PLATFORM",
    "task_id": "TASK_ID",
    "run_id": "RUN_ID",
    "status": "STATUS",
    "error": "ERROR",
    "duration_ms": "DURATION_MS",
}


def queue_for(group: str) -> str:
    """The queue a collector group's worker consumes: ``default`` for devices of no group."""
    return DEFAULT_QUEUE if group == DEFAULT_GROUP else GROUP_QUEUE_PREFIX + group


def group_of(queue: str) -> str:
    """The collector group whose queue this is."""
    return DEFAULT_GROUP if queue == DEFAULT_QUEUE else queue.removeprefix(GROUP_QUEUE_PREFIX)


def lock_for(device_id: str) -> str:
    """The Redis key that keeps two sessions from meeting on one device."""
    return LOCK_PREFIX + device_id


def is_group_name(name: str) -> bool:
    """Whether ``name`` can be a collector group's name."""
    return GROUP_PATTERN.fullmatch(name) is not None
