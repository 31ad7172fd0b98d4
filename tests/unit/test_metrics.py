"""What is counted of results as they are stored."""

from __future__ import annotations

from devicevault.outputs.metrics import Metrics
from devicevault.store import WriteReport
from tests.results import request, result


def test_results_are_counted_by_who_asked_whatever_a_worker_says() -> None:
    asked = ("manual:anna", "syslog:change", "syslog:change", "forged\n:x", "")
    results = [result(request(group="dmz"), task_identifier=identifier) for identifier in asked]
    metrics = Metrics()
    metrics.stored(results, WriteReport(written=[one.task_id for one in results]))
    counted = {
        sample.labels["by"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "devicevault_asked_results_total"
    }
    assert counted == {"manual": 1, "syslog": 2, "other": 2}
