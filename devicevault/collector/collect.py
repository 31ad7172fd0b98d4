"""One collection, from a request to its result: no broker, no Redis, no database."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import devicevault
from devicevault.collector import noop
from devicevault.collector.access import Access
from devicevault.collector.artifact import Packed, artifact_of
from devicevault.collector.at_work import at_work_on
from devicevault.collector.deadline import Limit
from devicevault.collector.jump import JumpHosts
from devicevault.collector.logins import Logins, NoLogins
from devicevault.collector.pace import Pace
from devicevault.collector.plugged import Readable
from devicevault.collector.seal import Sealer
from devicevault.collector.session import Reading
from devicevault.collector.steps import Steps, Transcript
from devicevault.credentials import CredentialStore
from devicevault.errors import (
    CollectionError,
    CollectionInterrupted,
    CommandRejected,
    DeviceUnreachable,
    OutputTruncated,
    SessionTimeout,
    UnreachableForGood,
)
from devicevault.messages import Artifact, CollectFacts, CollectRequest, CollectResult, Status
from devicevault.platforms import Platforms
from devicevault.platforms.asked import page_for
from devicevault.platforms.page import ArtifactSource, Platform
from devicevault.plugins import Plugin, Plugins
from devicevault.settings import Settings, SshSettings
from devicevault.settings.schema import RETRY_MAX_S, publish_allowance_s

logger = logging.getLogger(__name__)

#: Seconds before a device is tried again; doubled each time, and less by chance: devices that failed together must not
#: all come back together.
RETRY_S: Final = 2.0
#: What may go better next time. Never a refused login, host key, credential or command: trying on locks accounts.
TRANSIENT: Final = (DeviceUnreachable, SessionTimeout, OutputTruncated)


@dataclass(frozen=True)
class CollectorContext:
    """What a worker has at hand for every collection."""

    settings: Settings
    credentials: CredentialStore
    platforms: Platforms
    sealer: Sealer
    worker: str = field(default_factory=socket.gethostname)
    transcript: Transcript | None = None
    #: How logins ended in this group, on any worker.
    logins: Logins = field(default_factory=NoLogins)
    #: Limits the sessions a group begins in one second.
    pace: Pace | None = None
    #: Connections to jump hosts, shared by the sessions of this process.
    jump_hosts: JumpHosts = field(default_factory=JumpHosts)
    plugins: Plugins = field(default_factory=Plugins)
    #: Set when the worker is to stop: waits end, running sessions are ended by ``deadline.interrupt_all``.
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass
class Findings:
    """What a collection found out so far; a failure keeps what was learnt before it."""

    rules_digest: str = ""
    host_key: str = ""
    address: str = ""
    attempts: int = 0
    facts: CollectFacts = field(default_factory=CollectFacts)
    completeness: str = ""
    #: Whether the first artifact is a file and no text.
    is_binary: bool = False
    artifacts: tuple[Artifact, ...] = ()


def collect(request: CollectRequest, context: CollectorContext) -> CollectResult:
    """Collects one device. A device's fault is told in the result, never raised.

    Raises :class:`CollectionInterrupted` when the worker is stopping: there is no result then.
    """
    started_at = datetime.now(UTC)
    began = time.monotonic()
    steps = Steps(request, context.transcript)
    found = Findings(address=request.address)
    status, code, sentence = Status.SUCCESS, "", ""
    try:
        _Collection(request, context, steps, found).run()
    except CollectionInterrupted:
        raise
    except CollectionError as error:
        status, code, sentence = Status.FAILURE, error.code, steps.masked(str(error))
        steps.error(sentence)
    except Exception as error:  # noqa: BLE001 (whatever fails here, the request ends in a row)
        status, code = Status.FAILURE, CollectionError.code
        sentence = (
            f"a fault of DeviceVault's own ({type(error).__name__}); see the worker's journal, and please report it"
        )
        steps.error(sentence)
        # Where it happened, but not the exception's own text: that may hold what a device sent.
        frames = "".join(traceback.format_tb(error.__traceback__))
        logger.error("%s: %s\n%s", request.device, type(error).__name__, frames, extra={"device": request.device})
    return CollectResult(
        **_identity(request),
        status=status,
        error=code,
        error_message=sentence,
        log=steps.lines,
        attempt=max(1, found.attempts),
        initiated_at=request.requested_at,
        started_at=started_at,
        collection_duration_ms=round((time.monotonic() - began) * 1000),
        worker=context.worker,
        worker_version=devicevault.__version__,
        rules_digest=found.rules_digest,
        host_key=found.host_key,
        address=found.address,
        facts=found.facts,
        completeness=found.completeness,
        is_binary=found.is_binary,
        artifacts=found.artifacts if status is Status.SUCCESS else (),
    )


def without_session(
    request: CollectRequest, worker: str, status: Status, code: str, sentence: str, fix: str = ""
) -> CollectResult:
    """The result of a request that led to no session: expired, skipped or refused."""
    return CollectResult(
        **_identity(request),
        status=status,
        error=code,
        error_message=f"{sentence}; {fix}" if fix else sentence,
        initiated_at=request.requested_at,
        worker=worker,
        worker_version=devicevault.__version__,
    )


def _back_off_s(attempt: int, deadline_s: float) -> float:
    """Seconds until the next attempt."""
    longest_s = min(RETRY_S * 2.0 ** (attempt - 1), RETRY_MAX_S, deadline_s)
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 (no secret depends on it)


def _identity(request: CollectRequest) -> dict[str, str]:
    names = ("task_id", "run_id", "task_identifier", "device_id", "device", "platform", "group")
    return {name: getattr(request, name) for name in names}


class _Collection:
    """The attempts of one collection."""

    def __init__(self, request: CollectRequest, context: CollectorContext, steps: Steps, found: Findings) -> None:
        self.request = request
        self.context = context
        self.steps = steps
        self.found = found
        self.ssh: SshSettings = context.settings.for_group(request.group).ssh
        self.access = Access(request, context, steps, found)

    def run(self) -> None:
        """Fills in the findings. Raises a :class:`CollectionError` or :class:`CollectionInterrupted`."""
        platform = self.context.platforms.get(self.request.platform)
        self.found.rules_digest = platform.digest
        if platform.kind == "noop":
            self._keep([self._packed(noop.reading(self.request, platform, self.context.stopping))])
            return
        page = page_for(platform, self.request.options)
        self._attempts(page, self.context.plugins.fit(page) if page.plugin else None)

    def _attempts(self, platform: Platform, plugin: Plugin | None) -> None:
        # Later than this, the broker gives the task to another worker.
        deadline_s = self.request.deadline_s
        limit_s = self.context.settings.acknowledgement_limit_s
        ends_at = time.monotonic() + limit_s - publish_allowance_s(min(deadline_s, limit_s))
        for attempt in range(1, self.ssh.attempts + 1):
            self.found.attempts = attempt
            self._wait_for_turn()
            try:
                with Limit(max(0.0, min(deadline_s, ends_at - time.monotonic()))) as limit:
                    self._attempt(platform, plugin, limit)
                return
            except TRANSIENT as error:
                wait_s = _back_off_s(attempt, deadline_s)
                is_last = attempt == self.ssh.attempts or time.monotonic() + wait_s >= ends_at
                if is_last or isinstance(error, UnreachableForGood):
                    raise
                self.steps.warning(f"Attempt {attempt}: {error.code}: {error.problem}; trying again in {wait_s:.1f} s")
                if self.context.stopping.wait(wait_s):
                    raise CollectionInterrupted("the worker is stopping") from None

    def _wait_for_turn(self) -> None:
        if self.context.pace is not None:
            per_s = self.context.settings.for_group(self.request.group).worker.sessions_per_s
            self.context.pace.wait(self.request.group, per_s, self.context.stopping)

    def _attempt(self, platform: Platform, plugin: Plugin | None, limit: Limit) -> None:
        access = self.access
        opened: AbstractContextManager[Readable] = (
            access.plugged(platform, plugin, limit) if plugin else access.session(platform, limit)
        )
        with opened as session:
            self._keep([packed for source in platform.artifacts if (packed := self._read_packed(session, source))])
            try:
                self.found.facts = session.facts()
            except CollectionError as error:
                # The configuration is safe already.
                self.steps.warning(f"Model and version stay unknown: {error.problem}")

    def _read(self, session: Readable, source: ArtifactSource) -> Reading | None:
        """The artifact, or None where the page can do without it."""
        try:
            return session.read(source)
        except CollectionError as error:
            if not source.optional:
                raise
            # A device that knows no such command lacks nothing; anything else may be worth a look.
            tell = self.steps.info if isinstance(error, CommandRejected) else self.steps.warning
            tell(f"{source.name} is left out: {error.problem}")
            return None

    def _read_packed(self, session: Readable, source: ArtifactSource) -> Packed | None:
        """Packs the artifact before the next is waited for; None where the page can do without it."""
        reading = self._read(session, source)
        return None if reading is None else self._packed(reading)

    def _packed(self, reading: Reading) -> Packed:
        with at_work_on(len(reading.original)):
            artifact = artifact_of(reading, self.context.sealer, self.ssh.max_artifact_mb)
        return Packed(artifact, reading.completeness, reading.source.binary)

    def _keep(self, packed: Sequence[Packed]) -> None:
        self.found.completeness = "; ".join(dict.fromkeys(each.completeness for each in packed))
        self.found.artifacts = tuple(each.artifact for each in packed)
        self.found.is_binary = packed[0].is_binary
