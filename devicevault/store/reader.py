"""Questions to the store. The answers are plain values that outlive their transaction."""

from __future__ import annotations

from devicevault.store.history import (
    Held,
    Original,
    Revision,
    artifact_names,
    device_revisions,
    held,
    main_artifact,
    original,
    revision,
    revision_before,
    suspect_devices,
    thinned_after,
)
from devicevault.store.lookup import check_groups, find_device, pinned_host_keys
from devicevault.store.standing import (
    DeviceState,
    ResultSummary,
    device_results,
    device_states,
    result_log,
    run_progress,
    run_results,
)

__all__ = [
    "DeviceState",
    "Held",
    "Original",
    "ResultSummary",
    "Revision",
    "artifact_names",
    "check_groups",
    "device_results",
    "device_revisions",
    "device_states",
    "find_device",
    "held",
    "main_artifact",
    "original",
    "pinned_host_keys",
    "result_log",
    "revision",
    "revision_before",
    "run_progress",
    "run_results",
    "suspect_devices",
    "thinned_after",
]
