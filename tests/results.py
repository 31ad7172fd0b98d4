"""Requests and results as the tests of stream, store and consumer need them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from devicevault.messages import Artifact, CollectRequest, CollectResult

#: A configuration, and what is left of it once the session broke off.
WHOLE: Final = "".join(f"interface ethernet {number}\n" for number in range(100))
PART: Final = WHOLE[: len(WHOLE) // 2]
MORNING: Final = datetime(2026, 5, 4, 6, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """That long after :data:`MORNING`."""
    return MORNING + timedelta(minutes=minutes)


def request(device: str = "core-sw1", *, minutes: float = 0, **values: Any) -> CollectRequest:
    return CollectRequest.model_validate(
        {
            "task_id": uuid.uuid4().hex,
            "device_id": device,
            "device": device,
            "platform": "cisco_ios",
            "requested_at": at(minutes),
            **values,
        }
    )


def artifact(text: str, *, original: bytes = b"as sent", **values: Any) -> Artifact:
    return Artifact.of(text, **{"original": original, "key_id": "plain", **values})


def result(to: CollectRequest, status: str = "success", *texts: str | Artifact, **values: Any) -> CollectResult:
    """The result of a request, collected when it was asked for; each text becomes an artifact."""
    artifacts = [
        text if isinstance(text, Artifact) else artifact(text, name="running" if index == 0 else f"part-{index}")
        for index, text in enumerate(texts)
    ]
    return CollectResult.model_validate(
        {
            "task_id": to.task_id,
            "run_id": to.run_id,
            "device_id": to.device_id,
            "device": to.device,
            "platform": to.platform,
            "group": to.group,
            "status": status,
            "initiated_at": to.requested_at,
            "started_at": to.requested_at,
            "worker": "worker@here",
            "artifacts": artifacts,
            **values,
        }
    )
