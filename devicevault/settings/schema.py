"""The declaration of every setting: name, type, default, unit, help.

Whatever is told about a setting elsewhere (sample file, README, ``config show``, faults) is taken from here.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from devicevault import names
from devicevault.settings import urls
from devicevault.settings.jump import JumpName, JumpSettings
from devicevault.settings.table import Table, overlaid

#: Seconds a worker may need to publish a result before the device's lock ends, at most; with short sessions it is half
#: a session's.
PUBLISH_ALLOWANCE_S: Final = 60
#: Seconds before a device is tried again, at most; never more than a session's own.
RETRY_MAX_S: Final = 15
#: Seconds a request in a worker's hand may wait for its turn where a group's sessions per second are limited.
TURN_MAX_S: Final = 60

#: Processes of one worker.
PROCESSES_MAX: Final = 64

#: What a column of an inventory in columns can hold: a device's name, and every key it may have.
CSV_COLUMNS: Final = (
    "name",
    "address",
    "port",
    "platform",
    "group",
    "credential",
    "enabled",
    "tags",
    "id",
    "transport",
    "algorithms",
    "deadline_s",
    "jump",
    "console",
    "console_line",
    "options",
)
#: One option of a device: ``options.files``.
_CSV_OPTION: Final = re.compile(r"options\.\w+")


def publish_allowance_s(deadline_s: float) -> float:
    """Seconds a worker may need to publish what a session of ``deadline_s`` brought."""
    return min(PUBLISH_ALLOWANCE_S, deadline_s / 2)


def _group_name(value: str) -> str:
    if not names.is_group_name(value):
        raise ValueError(
            "is not a group's name; use small letters and digits, single - or _ between them, such as branch-2"
        )
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("must be an absolute path, the same for every process; begin it with /")
    return value


def _source_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    try:
        families = [ip_address(address).version for address in addresses]
    except ValueError:
        raise ValueError("must be IP addresses of this host; write them as in 192.0.2.10 or 2001:db8::10") from None
    if len(families) > len(set(families)):
        raise ValueError("has two addresses of one family; write one IPv4 and one IPv6 address at most")
    return addresses


def _networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        try:
            ip_network(network)
        except ValueError:
            raise ValueError(
                f"has {network!r}, no address or network; write them as in 192.0.2.10 or 2001:db8::/64"
            ) from None
    return networks


def _csv_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    for column in columns:
        if column not in CSV_COLUMNS and column != "-" and not _CSV_OPTION.fullmatch(column):
            raise ValueError(f"knows no column {column!r}; use {', '.join(CSV_COLUMNS)}, or - for one to pass over")
        if column != "-" and columns.count(column) > 1:
            raise ValueError(f"has {column!r} twice; put - for the column to pass over")
    if "name" not in columns:
        raise ValueError("has no column with the device's name; name it: name")
    return columns


def _listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("is no HOST:PORT to listen at; write 127.0.0.1:9108, or leave it empty for none")
    return value


def _receiver_name(value: str) -> str:
    if not names.is_group_name(value):
        raise ValueError("is not a receiver's name; use small letters and digits, single - or _ between them")
    return value


def _secret_reference(reference: dict[str, str]) -> dict[str, str]:
    if reference and (len(reference) != 1 or not reference.keys() <= {"file", "env", "systemd"}):
        raise ValueError('says where the URL is with one of: { file = "PATH" }, { env = "NAME" }, { systemd = "NAME" }')
    if any(not value or "://" in value for value in reference.values()):
        raise ValueError("holds a URL itself; write it into a file that only the consumer may read, and name that")
    return reference


def _program(command: tuple[str, ...]) -> tuple[str, ...]:
    if command and not command[0].startswith("/"):
        raise ValueError("must begin with the program's absolute path")
    return command


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
BrokerUrl = Annotated[str, AfterValidator(urls.broker)]
ResultBackendUrl = Annotated[str, AfterValidator(urls.result_backend)]
HttpUrl = Annotated[str, AfterValidator(urls.http)]
RedisUrl = Annotated[str, AfterValidator(urls.redis)]
DatabaseUrl = Annotated[str, AfterValidator(urls.database)]
GroupName = Annotated[str, AfterValidator(_group_name)]
ReceiverName = Annotated[str, AfterValidator(_receiver_name)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
SourceAddresses = Annotated[tuple[str, ...], AfterValidator(_source_addresses)]
NetworkList = Annotated[tuple[str, ...], AfterValidator(_networks)]
GitRemote = Annotated[str, AfterValidator(urls.git_remote)]
SecretReference = Annotated[dict[str, str], AfterValidator(_secret_reference)]
Program = Annotated[tuple[str, ...], AfterValidator(_program)]
CsvColumns = Annotated[tuple[str, ...], AfterValidator(_csv_columns)]


class WorkerSettings(Table):
    """The collector workers."""

    concurrency: int = Field(32, ge=1, le=1000, description="Sessions at once in one worker.")
    processes: int = Field(
        0,
        ge=0,
        le=PROCESSES_MAX,
        description="Processes they are shared out to; 0: one for each 50 sessions, at most one for each processor.",
    )
    own_processor: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether each process keeps to a processor of its own, if there is one; `auto`: not in containers.",
    )
    drain_s: float = Field(30, ge=0, description="Seconds a stopping worker lets running sessions finish.")
    sessions_per_s: float = Field(
        0, ge=0, description="Sessions all workers of a group together begin in one second, at most; 0 for no limit."
    )
    max_deliveries: int = Field(
        5, ge=1, description="Deliveries after which a request that ended its worker each time is given up."
    )
    max_unread_results: int = Field(
        50_000, ge=1, description="Results waiting in the stream at which workers take no more requests."
    )
    max_redis_memory: float = Field(
        0.8, gt=0, le=1, description="Share of Redis' memory at which workers take no more requests while results wait."
    )
    start_timeout_s: float = Field(
        150, gt=0, description="Seconds a starting worker waits for Redis and broker; below the unit's TimeoutStartSec."
    )


class SshSettings(Table):
    """Sessions with devices."""

    connect_timeout_s: float = Field(15, gt=0, description="Seconds for the TCP connection and the SSH banner.")
    deadline_s: float = Field(120, gt=0, description="Seconds for one whole session.")
    attempts: int = Field(
        2, ge=1, le=10, description="Tries for a device that can't be reached, is too slow, or cuts its output."
    )
    max_refused_logins: int = Field(
        10, ge=0, description="Refused logins in a row after which a group stops using a credential; 0 for never."
    )
    algorithms: Literal["modern", "legacy"] = Field(
        "modern", description="`legacy` also offers SHA-1 key exchange, ssh-rsa and CBC ciphers, for old devices."
    )
    host_keys: Literal["accept-new", "strict", "off"] = Field(
        "accept-new", description="`strict` refuses a host key never seen before, `off` checks none."
    )
    max_artifact_mb: float = Field(64, gt=0, description="Megabytes; a larger configuration ends as `too_large`.")
    jump: tuple[str, ...] = Field(
        (), description="Jump hosts and proxies on the way to the devices, in order; each has a table [jumps.NAME]."
    )
    source_address: SourceAddresses = Field(
        (), description="Address of this host that connections come from; one of each family, IPv4 and IPv6, at most."
    )

    @property
    def lock_horizon_s(self) -> float:
        """Seconds after which a device's lock is renewed no more: every attempt's session, the waits between them, and
        time to publish.
        """
        return self.lock_horizon_for(self.deadline_s)

    def lock_horizon_for(self, deadline_s: float) -> float:
        """As ``lock_horizon_s``, for a device with a deadline of its own."""
        waits_s = (self.attempts - 1) * min(RETRY_MAX_S, deadline_s)
        return self.attempts * deadline_s + waits_s + publish_allowance_s(deadline_s)


class QueueSettings(Table):
    """Requests waiting in the broker."""

    type: Literal["classic", "quorum"] = Field(
        "classic", description="RabbitMQ's type of the queues; `quorum` keeps them on several nodes (docs/scaling.md)."
    )
    wait_s: float = Field(6 * 3600, gt=0, description="Seconds a request may wait in the queue before it expires.")
    redis_visibility_timeout_s: int = Field(
        3600, gt=0, description="Redis as broker: seconds until an unacknowledged task is given to another worker."
    )
    amqp_consumer_timeout_s: int = Field(
        1800, gt=0, description="RabbitMQ as broker: seconds, its own `consumer_timeout`; longer tasks are cut off."
    )


class InventorySettings(Table):
    """Which devices exist."""

    path: AbsolutePath = Field(
        Path("/etc/devicevault/devices.toml"), description="The inventory: a .toml file, or text in columns (CSV)."
    )
    format: Literal["auto", "toml", "csv"] = Field("auto", description="`auto` goes by the file's ending.")
    csv_delimiter: str = Field(":", min_length=1, max_length=1, description="What separates the columns.")
    csv_columns: CsvColumns = Field(
        ("name", "platform", "group"),
        description=(
            "What the columns hold, in order: name, and keys of a device such as address, credential or jump; "
            "`options.NAME` for one option, `-` for a column to pass over."
        ),
    )
    csv_platforms: dict[str, str] = Field(
        default_factory=dict, description="The file's own platform names, mapped to DeviceVault's."
    )
    csv_groups: dict[str, str] = Field(
        default_factory=dict, description="The file's own group names, mapped to collector groups."
    )
    kept_dir: AbsolutePath = Field(
        Path("/var/lib/devicevault/inventory"), description="Folder of each source's last good answer."
    )


class VaultSettings(Table):
    """The keys that seal originals, made by `devicevault keys create`."""

    originals: Literal["sealed", "plain"] = Field(
        "sealed",
        description="`plain` keeps originals, with the secrets in them, readable for whoever reads the database.",
    )
    public_key: AbsolutePath = Field(
        Path("/etc/devicevault/vault.pub"), description="Seals originals; each worker has a copy."
    )
    private_key: AbsolutePath = Field(
        Path("/etc/devicevault/vault.key"), description="Opens originals; never leaves the vault's host."
    )
    digest_key: AbsolutePath = Field(
        Path("/etc/devicevault/vault.digest"), description="Secret of the keyed digest; each worker has a copy."
    )


class ConsumerSettings(Table):
    """The consumer, which writes results into the database."""

    name: str = Field("", description="This consumer's stable name; the host name when empty.")
    batch_entries: int = Field(150, ge=1, description="Results written in one transaction, at most.")
    batch_mb: float = Field(16, gt=0, description="Megabytes written in one transaction, at most.")
    block_ms: int = Field(2000, ge=1, le=4500, description="Milliseconds to wait for a result; below Redis' 5 s.")
    max_deliveries: int = Field(5, ge=1, description="Deliveries after which an entry becomes a dead letter.")
    claim_idle_s: float = Field(60, gt=0, description="Seconds after which another consumer's entries are claimed.")
    tail_entries: int = Field(1000, ge=0, description="Committed entries kept in the stream, to look at.")
    sweep_s: float = Field(60, gt=0, description="Seconds between two looks for requests that outlived every wait.")
    suspect_shrink: float = Field(
        0.3, gt=0, le=1, description="Share; a text that lost more of its last good size is `suspect`. 1 for never."
    )


class RetentionSettings(Table):
    """What `devicevault prune` keeps, and for how long.

    Revisions: all of them, then the last of each day, week and month, each rule where the one before ends.
    """

    all_days: int = Field(
        365, ge=0, le=36_500, description="Days every revision is kept after the next one was found; 0: for ever."
    )
    daily_days: int = Field(
        365, ge=0, le=36_500, description="Days after that in which each day's last revision is kept; 0: for ever."
    )
    weekly_weeks: int = Field(
        104, ge=0, le=5_200, description="Weeks after that in which each week's last one is kept; 0: for ever."
    )
    monthly_months: int = Field(
        0, ge=0, le=1_200, description="Months after that in which each month's last one is kept; 0: for ever."
    )
    originals_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days the original of an overtaken revision is kept, if the revision is; 0: as long as that.",
    )
    results_days: int = Field(
        365, ge=0, le=36_500, description="Days the row of a collection that found no change is kept; 0: for ever."
    )
    logs_days: int = Field(
        90, ge=0, le=36_500, description="Days the steps of a collection are kept; 0: as long as its row."
    )
    runs_days: int = Field(
        365, ge=0, le=36_500, description="Days a run is kept whose collections are all gone; 0: for ever."
    )
    dead_letters_days: int = Field(
        365, ge=0, le=36_500, description="Days a dead letter waits for somebody to decide; 0: for ever."
    )
    archive_after_days: int = Field(
        30, ge=0, le=36_500, description="Days after which a device that left the inventory is archived; 0: never."
    )


class MetricsSettings(Table):
    """Prometheus metrics and `/healthz`, served by the consumer."""

    listen: ListenAddress = Field("127.0.0.1:9108", description="HOST:PORT; empty serves none.")


class MirrorSettings(Table):
    """The git mirror: each device's text as a file, and a commit for each run and group."""

    enabled: bool = Field(False, description="Whether the consumer keeps one; git must be installed.")
    path: AbsolutePath = Field(Path("/var/lib/devicevault/mirror.git"), description="The repository, a bare one.")
    branch: str = Field("main", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="The branch it is kept on.")
    run_wait_s: float = Field(
        900, ge=0, description="Seconds a commit waits for the rest of its run; what comes later gets one of its own."
    )
    remote: GitRemote = Field(
        "", description="Where it is pushed to: ssh://git@HOST/PATH, https://HOST/PATH or /PATH; empty for nowhere."
    )
    push_timeout_s: float = Field(120, gt=0, description="Seconds one push may take.")


NoticeKind = Literal[
    "changed",
    "failing",
    "host_key",
    "suspect",
    "stale",
    "recovered",
    "worker_gone",
    "output_failing",
]


class ReceiverSettings(Table):
    """Who gets notices: an Apprise URL or a program."""

    apprise: SecretReference = Field(
        {}, description="Where its Apprise URL is: { file = PATH }, { env = NAME } or { systemd = NAME }."
    )
    command: Program = Field((), description="Or a program with arguments; it gets JSON on standard input.")
    kinds: tuple[NoticeKind, ...] = Field((), description="Kinds of notices it gets; all when empty.")
    groups: tuple[GroupName, ...] = Field((), description="Collector groups it hears of; all when empty.")
    digest_s: float = Field(0, ge=0, description="Seconds between its digests; 0 sends each notice at once.")
    timeout_s: float = Field(60, gt=0, description="Seconds one delivery may take.")

    @model_validator(mode="after")
    def _has_one_way(self) -> ReceiverSettings:
        if bool(self.apprise) == bool(self.command):
            raise ValueError("says one of two ways to reach it; write apprise or command")
        return self


class NotifySettings(Table):
    """Notices of changes and faults; who gets them stands in `[receivers.NAME]`."""

    failing_after: int = Field(3, ge=1, description="Failures in a row after which a device is told as failing.")
    stale_s: float = Field(
        26 * 3600, ge=0, description="Seconds without a good backup after which a device is told as stale; 0 for never."
    )
    worker_gone_s: float = Field(
        300, ge=60, description="Seconds of silence after which a group's worker is told as gone."
    )
    diff_lines: int = Field(
        200, ge=0, le=10_000, description="Lines of the difference in a notice of a change, at most."
    )


class SyslogSettings(Table):
    """`devicevault-syslog`, which collects a device when the device tells that it was changed."""

    quiet_s: float = Field(
        60, ge=1, le=86_400, description="Seconds without a further message of a change before the device is collected."
    )
    max_wait_s: float = Field(
        900, ge=1, le=604_800, description="Seconds after which it is collected even if it goes on changing."
    )
    relays: NetworkList = Field(
        (), description="Addresses or networks of relays: of their messages, the host name tells the device."
    )
    listen: ListenAddress = Field(
        "", description="HOST:PORT, UDP and TCP, where no systemd socket is handed over, as in a container."
    )

    @model_validator(mode="after")
    def _waits_longer(self) -> SyslogSettings:
        if self.max_wait_s < self.quiet_s:
            raise ValueError("max_wait_s is shorter than quiet_s, so that nobody would wait for quiet; raise it")
        return self


class FlowerSettings(Table):
    """Flower, the page that shows the tasks."""

    address: str = Field("127.0.0.1", min_length=1, description="Where Flower listens.")
    port: int = Field(5555, ge=1, le=65535, description="Flower's TCP port.")
    user: str = Field("devicevault", min_length=1, description="Login name for the page.")
    password: SecretStr = Field(SecretStr(""), description="Login password; Flower does not start without one.")


class LogSettings(Table):
    """What the daemons tell the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is logged.")


class GroupSettings(Table):
    """What one collector group does differently; a key left out follows the general setting.

    The tables here hold only what was set: :meth:`Settings.for_group` gives the settings that count.
    """

    worker: WorkerSettings = WorkerSettings()
    ssh: SshSettings = SshSettings()
    credential: str = Field("", description="Credential of this group's devices that name none.")


class Settings(Table):
    """Every setting of DeviceVault. URLs, which may hold passwords, are left out of its ``repr``."""

    broker_url: BrokerUrl = Field(
        "amqp://guest:guest@localhost:5672//", repr=False, description="AMQP (RabbitMQ) or Redis broker."
    )
    result_backend: ResultBackendUrl = Field(
        "", repr=False, description="Celery result backend; empty follows the broker. Nothing depends on it."
    )
    broker_api: HttpUrl = Field(
        "http://guest:guest@localhost:15672/api/", repr=False, description="RabbitMQ's management API, for Flower."
    )
    redis_url: RedisUrl = Field(
        "redis://localhost:6379/1", repr=False, description="Redis for locks and the result stream."
    )
    results_stream: str = Field(names.RESULTS_STREAM, min_length=1, description="Name of the stream of results.")
    database_url: DatabaseUrl = Field(
        "sqlite:////var/lib/devicevault/devicevault.db", repr=False, description="SQLite file or PostgreSQL."
    )
    credentials_file: AbsolutePath = Field(
        Path("/etc/devicevault/credentials.toml"), description="The credentials, read by workers only."
    )
    platforms_dir: AbsolutePath = Field(
        Path("/etc/devicevault/platforms"), description="Folder of your own platform pages; it need not exist."
    )
    worker: WorkerSettings = WorkerSettings()
    ssh: SshSettings = SshSettings()
    queue: QueueSettings = QueueSettings()
    inventory: InventorySettings = InventorySettings()
    vault: VaultSettings = VaultSettings()
    consumer: ConsumerSettings = ConsumerSettings()
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    mirror: MirrorSettings = MirrorSettings()
    notify: NotifySettings = NotifySettings()
    syslog: SyslogSettings = SyslogSettings()
    flower: FlowerSettings = FlowerSettings()
    log: LogSettings = LogSettings()
    groups: dict[GroupName, GroupSettings] = Field(default_factory=dict)
    jumps: dict[JumpName, JumpSettings] = Field(default_factory=dict)
    receivers: dict[ReceiverName, ReceiverSettings] = Field(default_factory=dict)

    def for_group(self, name: str) -> Settings:
        """The settings that count in one collector group; for a group without a table of its own, these."""
        group = self.groups.get(name)
        if group is None:
            return self
        return self.model_copy(
            update={"worker": overlaid(self.worker, group.worker), "ssh": overlaid(self.ssh, group.ssh)}
        )

    def task_limit_s(self, deadline_s: float) -> float:
        """Seconds a task may keep its worker at the very most, its waits for a turn included."""
        worker = self.worker
        turn_s = min(TURN_MAX_S, worker.concurrency / worker.sessions_per_s) if worker.sessions_per_s else 0.0
        return self.ssh.lock_horizon_for(deadline_s) + self.ssh.attempts * turn_s

    @property
    def result_backend_url(self) -> str:
        """What Celery is given: an AMQP broker's results go through ``rpc://``, Redis keeps them itself."""
        return self.result_backend or ("rpc://" if self.has_amqp_broker else self.broker_url.partition(";")[0])

    @property
    def has_amqp_broker(self) -> bool:
        """Whether the broker is RabbitMQ, not Redis."""
        return urls.scheme(self.broker_url) in urls.AMQP_SCHEMES

    @property
    def acknowledgement_limit_s(self) -> int:
        """Seconds after which the broker takes a running task for lost and gives it to another worker."""
        return self.queue.amqp_consumer_timeout_s if self.has_amqp_broker else self.queue.redis_visibility_timeout_s
