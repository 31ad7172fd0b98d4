"""The metrics of the vault, for Prometheus: what was stored is counted, what is so at the moment is sampled.

Nothing in here may hurt the consumer: it is told in one call that raises nothing, and sampling has a thread of its own.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import devicevault
from devicevault import names
from devicevault.errors import CollectionError
from devicevault.messages import CollectResult, Status
from devicevault.store import WriteReport

logger = logging.getLogger(__name__)

SESSION_SECONDS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
#: Codes of :mod:`devicevault.errors`; any other, of a worker of another release, is counted as ``other``.
ERRORS: Final = frozenset({CollectionError.code, *(kind.code for kind in CollectionError.__subclasses__())})
#: What asks for collections: the first part of a result's task identifier.
ASKERS: Final = frozenset({"manual", "scheduled", "syslog"})
OTHER: Final = "other"


@dataclass(frozen=True)
class Gauge:
    """A metric that is sampled: its help and the names of its labels."""

    help: str
    labels: tuple[str, ...] = ()


GAUGES: Final[Mapping[str, Gauge]] = {
    "devicevault_build_info": Gauge("The release that serves these metrics.", ("version", "python")),
    "devicevault_source_up": Gauge("1 when this source could be asked at the last look.", ("source",)),
    "devicevault_queue_depth": Gauge("Requests that wait in a collector group's queue.", ("group",)),
    "devicevault_stream_lag": Gauge("Results in the stream that no consumer has read."),
    "devicevault_stream_pending": Gauge("Results that were read and are not stored yet."),
    "devicevault_dead_letters": Gauge("Results that could not be stored and wait for a person."),
    "devicevault_requests_waiting": Gauge("Requests without a result."),
    "devicevault_group_paused": Gauge("1 for a collector group that a person paused.", ("group",)),
    "devicevault_worker_info": Gauge("A worker and its release.", ("worker", "group", "version")),
    "devicevault_worker_last_contact_seconds": Gauge("Seconds since a worker was heard of.", ("worker", "group")),
    "devicevault_worker_sessions": Gauge("Collections a worker has in flight.", ("worker", "group")),
    "devicevault_worker_stuck_sessions": Gauge("Those of them that outlived their deadline.", ("worker", "group")),
    "devicevault_worker_slots": Gauge("Collections a worker can have in flight.", ("worker", "group")),
    "devicevault_devices": Gauge("Devices that are to be backed up.", ("group",)),
    "devicevault_devices_without_backup": Gauge("Those of them that never had a good backup.", ("group",)),
    "devicevault_devices_suspect": Gauge("Those of them whose newest configuration is held as suspect.", ("group",)),
    "devicevault_output_failures": Gauge(
        "How often the git mirror, its push or the notices failed in a row; 0 when the last time went well.",
        ("output",),
    ),
    "devicevault_notices_waiting": Gauge("Notices a receiver has not taken yet.", ("receiver",)),
    "devicevault_oldest_backup_age_seconds": Gauge(
        "Age of the oldest last good backup in the group; for a device without any, since it was first asked for.",
        ("group",),
    ),
}

#: Of one source: each metric's name to its values, by the values of its labels.
Sample = Mapping[str, Mapping[tuple[str, ...], float]]


class Metrics(Collector):
    """Every metric. ``registry`` is what is served."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._results = Counter(
            "devicevault_results",
            "Results stored, by how they ended.",
            ("group", "status", "error"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "devicevault_session_seconds",
            "Seconds a collection took on its worker.",
            ("group",),
            buckets=SESSION_SECONDS,
            registry=self.registry,
        )
        self._changes = Counter(
            "devicevault_revisions", "New revisions, by reason.", ("group", "reason"), registry=self.registry
        )
        self._asked = Counter(
            "devicevault_asked_results",
            "Results stored, by who asked: manual, scheduled, syslog.",
            ("group", "by"),
            registry=self.registry,
        )
        self._samples: dict[str, Sample] = {}
        self._up: dict[str, bool] = {}
        self.registry.register(self)

    def stored(self, results: Sequence[CollectResult], report: WriteReport) -> None:
        """Count what was committed. Raises nothing."""
        try:
            self._count(results, report)
        except Exception:
            logger.exception("metrics: results were not counted")

    def _count(self, results: Sequence[CollectResult], report: WriteReport) -> None:
        by_task = {result.task_id: result for result in results}
        for result in map(by_task.__getitem__, report.written):
            group = group_label(result.group)
            status = Status.SUSPECT if result.task_id in report.suspects else result.status
            self._results.labels(group, str(status), _error_label(result.error)).inc()
            self._asked.labels(group, _asker_label(result.task_identifier)).inc()
            if result.started_at is not None:
                self._seconds.labels(group).observe(result.collection_duration_ms / 1000)
        for change in report.changes:
            self._changes.labels(group_label(by_task[change.task_id].group), change.reason).inc()

    def sampled(self, source: str, sample: Sample | None) -> None:
        """Take what a source says in place of what it said before; ``None`` when it could not be asked."""
        self._samples[source] = sample or {}
        self._up[source] = sample is not None

    def collect(self) -> Iterable[Metric]:
        """What was sampled last; for the registry."""
        values: dict[str, dict[tuple[str, ...], float]] = {
            "devicevault_build_info": {(devicevault.__version__, platform.python_version()): 1.0},
            "devicevault_source_up": {(source,): float(is_up) for source, is_up in dict(self._up).items()},
        }
        for sample in list(self._samples.values()):
            for name, by_labels in sample.items():
                values.setdefault(name, {}).update(by_labels)
        return list(_families(values))


def markdown_table() -> str:
    """Every metric as a table for the docs."""
    lines = ["| metric | labels | what it tells |", "|---|---|---|"]
    counted = (
        ("devicevault_results_total", ("group", "status", "error"), "Results stored, by how they ended."),
        ("devicevault_session_seconds", ("group",), "Seconds a collection took on its worker; a histogram."),
        ("devicevault_revisions_total", ("group", "reason"), "New revisions, by reason."),
        (
            "devicevault_asked_results_total",
            ("group", "by"),
            "Results stored, by who asked: manual, scheduled, syslog.",
        ),
    )
    sampled = tuple((name, gauge.labels, gauge.help) for name, gauge in GAUGES.items())
    for name, labels, text in counted + sampled:
        lines.append(f"| `{name}` | {', '.join(labels)} | {text} |")
    return "\n".join(lines) + "\n"


def _families(values: Mapping[str, Mapping[tuple[str, ...], float]]) -> Iterator[Metric]:
    for name, gauge in GAUGES.items():
        family = GaugeMetricFamily(name, gauge.help, labels=gauge.labels)
        for labels, value in sorted(values.get(name, {}).items()):
            family.add_metric(labels, value)
        yield family


def group_label(group: str) -> str:
    """A group's name as a label: whatever a worker sends, nothing but a name."""
    return group if names.is_group_name(group) else OTHER


def _error_label(error: str) -> str:
    return error if not error or error in ERRORS else OTHER


def _asker_label(task_identifier: str) -> str:
    asker = task_identifier.partition(":")[0]
    return asker if asker in ASKERS else OTHER
