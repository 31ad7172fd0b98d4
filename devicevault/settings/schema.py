"""Typed settings: defaults < config.toml < environment.

One declaration per setting (name, type, default, unit, help) feeds validation, the commented
``etc/config.toml``, the README table and ``devicevault config show``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from devicevault import names


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WorkerSettings(Table):
    concurrency: int = Field(32, ge=1, le=1000, description="Sessions at once in one worker.")
    drain_s: float = Field(30, ge=0, description="Seconds a stopping worker lets running sessions finish.")


class SshSettings(Table):
    connect_timeout_s: float = Field(15, gt=0, description="Seconds for the TCP connection and the SSH banner.")
    deadline_s: float = Field(120, gt=0, description="Seconds for one whole session.")
    attempts: int = Field(2, ge=1, le=10, description="Tries for a device that can't be reached.")
    algorithms: Literal["modern", "legacy"] = Field(
        "modern", description="`legacy` also offers SHA-1 key exchange, ssh-rsa and CBC ciphers, for old devices."
    )
    host_keys: Literal["accept-new", "strict", "off"] = Field(
        "accept-new", description="What to do with a host key that was never seen."
    )
    max_artifact_mb: float = Field(64, gt=0, description="Megabytes; a larger configuration ends as `too_large`.")


class QueueSettings(Table):
    wait_s: float = Field(6 * 3600, gt=0, description="Seconds a request may wait in the queue before it expires.")
    redis_visibility_timeout_s: int = Field(
        3600, gt=0, description="Redis as broker: seconds until an unacknowledged task is given to another worker."
    )


class InventorySettings(Table):
    path: Path = Field(
        Path("/etc/devicevault/devices.toml"), description="The inventory: a .toml file, or text in columns (CSV)."
    )
    format: Literal["auto", "toml", "csv"] = Field("auto", description="`auto` goes by the file's ending.")
    csv_delimiter: str = Field(":", min_length=1, max_length=1, description="What separates the columns.")
    csv_columns: tuple[str, ...] = Field(
        ("name", "platform", "group"),
        description="What the columns hold, in order: name, address, port, platform, group, credential, enabled, `-`.",
    )
    csv_platforms: dict[str, str] = Field(
        default_factory=dict, description="The file's own platform names, mapped to DeviceVault's."
    )


class VaultSettings(Table):
    originals: Literal["sealed", "plain"] = Field("sealed", description="Whether originals are sealed by the worker.")
    public_key: Path = Field(Path("/etc/devicevault/vault.pub"), description="Seals originals; made by `keys create`.")
    private_key: Path = Field(Path("/etc/devicevault/vault.key"), description="Opens originals; keep it on the vault.")
    digest_key: Path = Field(Path("/etc/devicevault/vault.digest"), description="Secret of the keyed digest.")


class ConsumerSettings(Table):
    name: str = Field("", description="This consumer's stable name; the host name when empty.")
    batch_entries: int = Field(200, ge=1, description="Results written in one transaction, at most.")
    batch_mb: float = Field(16, gt=0, description="Megabytes written in one transaction, at most.")
    block_ms: int = Field(2000, ge=1, le=4500, description="Milliseconds to wait for a result; below Redis' 5 s.")
    max_deliveries: int = Field(5, ge=1, description="Deliveries after which an entry becomes a dead letter.")
    claim_idle_s: float = Field(60, gt=0, description="Seconds after which another consumer's entries are claimed.")
    tail_entries: int = Field(1000, ge=0, description="Committed entries kept in the stream, to look at.")


class FlowerSettings(Table):
    address: str = Field("127.0.0.1", description="Where Flower listens.")
    port: int = Field(5555, ge=1, le=65535, description="Flower's TCP port.")
    user: str = Field("devicevault", description="Login name for the page.")
    password: SecretStr = Field(SecretStr(""), description="Login password; Flower does not start without one.")


class LogSettings(Table):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is logged.")


class GroupSettings(Table):
    """What one collector group does differently; a key left out follows the general setting."""

    worker: WorkerSettings | None = None
    ssh: SshSettings | None = None
    credential: str = Field("", description="Credential of this group's devices that name none.")


class Settings(Table):
    broker_url: str = Field("amqp://guest:guest@localhost:5672//", description="AMQP (RabbitMQ) or Redis broker.")
    result_backend: str = Field("", description="Celery result backend; follows the broker when empty.")
    broker_api: str = Field("http://guest:guest@localhost:15672/api/", description="RabbitMQ's management API.")
    redis_url: str = Field("redis://localhost:6379/1", description="Redis for locks and the result stream.")
    results_stream: str = Field(names.RESULTS_STREAM, min_length=1, description="Stream of results.")
    database_url: str = Field("sqlite:////var/lib/devicevault/devicevault.db", description="SQLite or PostgreSQL.")
    credentials_file: Path = Field(Path("/etc/devicevault/credentials.toml"), description="The workers' credentials.")
    platforms_dir: Path = Field(Path("/etc/devicevault/platforms"), description="Your own platform pages.")
    worker: WorkerSettings = WorkerSettings()
    ssh: SshSettings = SshSettings()
    queue: QueueSettings = QueueSettings()
    inventory: InventorySettings = InventorySettings()
    vault: VaultSettings = VaultSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    flower: FlowerSettings = FlowerSettings()
    log: LogSettings = LogSettings()
    groups: dict[str, GroupSettings] = {}
