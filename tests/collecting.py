"""What tests of the collector share: a worker's surroundings, and requests for simulated devices."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devicevault.collector.collect import CollectorContext
from devicevault.collector.seal import Sealer
from devicevault.collector.steps import Transcript
from devicevault.credentials import CredentialStore
from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.messages import CollectRequest, CollectResult
from devicevault.platforms import Platforms
from devicevault.settings import Settings, SshSettings

PLATFORMS = Platforms.load()

#: Fits a simulated device as it is made; ``enable`` fits those given this enable secret.
CREDENTIALS = """
[credentials.lab]
username = "backup"
password = "correct horse"
enable = "open sesame"
"""


def make_context(
    folder: Path, credentials: str = CREDENTIALS, *, transcript: Transcript | None = None, **ssh: Any
) -> CollectorContext:
    """A worker's surroundings, with these credentials and these settings of ``[ssh]``."""
    path = folder / "credentials.toml"
    path.write_text(credentials)
    path.chmod(0o600)
    return CollectorContext(
        settings=Settings(ssh=SshSettings(**ssh)),
        credentials=CredentialStore.load(path),
        platforms=PLATFORMS,
        sealer=Sealer((), b"k" * 32),
        worker="worker-1",
        transcript=transcript,
    )


def a_request(**fields: Any) -> CollectRequest:
    """A request as such, for a device nobody serves."""
    return CollectRequest(
        **{
            "task_id": str(uuid.uuid4()),
            "device_id": "r1",
            "device": "r1",
            "platform": "cisco_ios",
            "requested_at": datetime.now(UTC),
            "deadline_s": 30.0,
            **fields,
        }
    )


def request_for(fleet: Fleet, device: SimulatedDevice, **fields: Any) -> CollectRequest:
    """A request for one of the fleet's devices."""
    return CollectRequest(
        **{
            "task_id": str(uuid.uuid4()),
            "device_id": device.name,
            "device": device.name,
            "address": fleet.address,
            "port": fleet.port(device.name),
            "platform": device.platform,
            "credentials": ("lab",),
            "requested_at": datetime.now(UTC),
            "deadline_s": 30.0,
            **fields,
        }
    )


def told(result: CollectResult) -> str:
    """All that can be read in a result; the originals can't."""
    known = result.model_dump_json(exclude={"artifacts": {"__all__": {"compressed", "original"}}})
    return "\n".join([known, *(artifact.text for artifact in result.artifacts)])
