"""One collection, from a request to its result: no broker, no Redis, no database."""

from __future__ import annotations

import hashlib
import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import devicevault
from devicevault.collector import noop, ssh, tcp
from devicevault.collector.connection import DeviceConnection
from devicevault.collector.deadline import Limit
from devicevault.collector.logins import Logins, NoLogins
from devicevault.collector.pace import Pace
from devicevault.collector.seal import Sealer
from devicevault.collector.session import Reading, Session
from devicevault.collector.steps import Steps, Transcript
from devicevault.credentials import Credential, CredentialStore
from devicevault.errors import (
    AuthenticationFailed,
    CollectionError,
    CollectionInterrupted,
    ConfigurationTooLarge,
    CredentialUnusable,
    DeviceUnreachable,
    OutputTruncated,
    SessionTimeout,
)
from devicevault.messages import Artifact, CollectFacts, CollectRequest, CollectResult, Status
from devicevault.platforms import Platforms
from devicevault.platforms.page import ArtifactSource, Platform
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

    def run(self) -> None:
        """Fills in the findings. Raises a :class:`CollectionError` or :class:`CollectionInterrupted`."""
        platform = self.context.platforms.get(self.request.platform)
        self.found.rules_digest = platform.digest
        if platform.kind == "noop":
            self._keep(noop.readings(self.request, platform, self.context.stopping))
            return
        if self.request.jump:
            raise DeviceUnreachable(
                f"the request asks for a jump through {self.request.jump!r}, which this release can't do",
                "let a worker collect it that reaches the device directly",
            )
        self._attempts(platform)

    def _attempts(self, platform: Platform) -> None:
        # Later than this, the broker gives the task to another worker.
        deadline_s = self.request.deadline_s
        limit_s = self.context.settings.acknowledgement_limit_s
        ends_at = time.monotonic() + limit_s - publish_allowance_s(min(deadline_s, limit_s))
        for attempt in range(1, self.ssh.attempts + 1):
            self.found.attempts = attempt
            self._wait_for_turn()
            try:
                with Limit(max(0.0, min(deadline_s, ends_at - time.monotonic()))) as limit:
                    self._attempt(platform, limit)
                return
            except TRANSIENT as error:
                wait_s = _back_off_s(attempt, deadline_s)
                is_last = attempt == self.ssh.attempts or time.monotonic() + wait_s >= ends_at
                if is_last or isinstance(error, ssh.NoCommonAlgorithm):
                    raise
                self.steps.warning(f"Attempt {attempt}: {error.code}: {error.problem}; trying again in {wait_s:.1f} s")
                if self.context.stopping.wait(wait_s):
                    raise CollectionInterrupted("the worker is stopping") from None

    def _wait_for_turn(self) -> None:
        if self.context.pace is not None:
            per_s = self.context.settings.for_group(self.request.group).worker.sessions_per_s
            self.context.pace.wait(self.request.group, per_s, self.context.stopping)

    def _attempt(self, platform: Platform, limit: Limit) -> None:
        with self._log_in(platform, limit) as session:
            self._keep([reading for source in platform.artifacts if (reading := self._read(session, source))])
            try:
                self.found.facts = session.facts()
            except CollectionError as error:
                # The configuration is safe already.
                self.steps.warning(f"Model and version stay unknown: {error.problem}")

    def _read(self, session: Session, source: ArtifactSource) -> Reading | None:
        """The artifact, or None where the page can do without it."""
        try:
            return session.read(source)
        except CollectionError as error:
            if not source.optional:
                raise
            self.steps.warning(f"{source.name} is left out: {error.problem}")
            return None

    def _log_in(self, platform: Platform, limit: Limit) -> Session:
        """A session with the first credential the device takes; each is tried once, on a connection of its own."""
        target = self._target(platform)
        if not self.request.credentials:
            raise CredentialUnusable("the request names no credential", "give the device or its group a credential")
        failures: list[AuthenticationFailed | CredentialUnusable] = []
        for name in self.request.credentials:
            if failures:
                self.steps.warning(f"{failures[-1].problem}; trying credential {name!r}")
            sock = tcp.connect_tcp(target, limit)
            try:
                self.found.address = sock.getpeername()[0]
                credential = self._credential(name)
                connection = self._offer(credential, sock, target, limit)
            except (AuthenticationFailed, CredentialUnusable) as error:
                sock.close()
                failures.append(error)
            except BaseException:
                sock.close()
                raise
            else:
                return self._session(connection, platform, credential)
        # What the device refused tells more than what was never offered to it.
        raise next((error for error in reversed(failures) if isinstance(error, AuthenticationFailed)), failures[0])

    def _offer(self, credential: Credential, sock: socket.socket, target: tcp.Target, limit: Limit) -> DeviceConnection:
        group, most = self.request.group, self.ssh.max_refused_logins
        try:
            connection = ssh.log_in(sock, target, credential, limit)
        except AuthenticationFailed:
            self.context.logins.refused(credential, group, most)
            raise
        self.context.logins.accepted(credential, group)
        return connection

    def _credential(self, name: str) -> Credential:
        credential = self.context.credentials.resolve(name, address=self.found.address, group=self.request.group)
        self.steps.hide((credential.password, credential.enable, credential.passphrase))
        self.context.logins.check(credential, self.request.group, self.ssh.max_refused_logins)
        return credential

    def _session(self, connection: DeviceConnection, platform: Platform, credential: Credential) -> Session:
        self.found.host_key = connection.client.host_key_seen
        self.steps.info(
            f"Logged in to {self.found.address} port {self.request.port} as {credential.username!r} "
            f"with credential {credential.name!r}"
        )
        if old := connection.legacy_algorithms_used:
            self.steps.warning(
                f"The connection relies on outdated algorithms ({', '.join(old)}); renew the device's SSH"
            )
        return Session(connection, platform, credential, self.steps, int(self.ssh.max_artifact_mb * 1e6))

    def _target(self, platform: Platform) -> tcp.Target:
        return tcp.Target(
            address=self.request.address or self.request.device,
            port=self.request.port,
            driver=platform.session.driver,
            host_keys=self.request.host_keys,
            host_key_policy=self.ssh.host_keys,
            legacy=self.request.options.get("algorithms", self.ssh.algorithms) == "legacy",
            connect_timeout_s=self.ssh.connect_timeout_s,
            login_suffix=platform.session.login_suffix,
            device=self.request.device,
        )

    def _keep(self, readings: Sequence[Reading]) -> None:
        self.found.completeness = "; ".join(dict.fromkeys(reading.completeness for reading in readings))
        self.found.artifacts = tuple(self._artifact(reading) for reading in readings)

    def _artifact(self, reading: Reading) -> Artifact:
        text = reading.normalised.text
        encoded = text.encode()
        if len(encoded) > self.ssh.max_artifact_mb * 1e6:
            raise ConfigurationTooLarge(
                f"{reading.source.name} is larger than {self.ssh.max_artifact_mb:g} MB", "raise ssh.max_artifact_mb"
            )
        original, key_id = self.context.sealer.seal(reading.original)
        return Artifact(
            name=reading.source.name,
            media_type=reading.source.media_type,
            size=len(encoded),
            digest="sha256:" + hashlib.sha256(encoded).hexdigest(),
            original_digest=self.context.sealer.keyed_digest(reading.normalised.comparable, reading.normalised.basis),
            text=text,
            original=original,
            key_id=key_id,
        )
