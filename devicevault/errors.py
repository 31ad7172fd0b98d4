"""The exception tree.

Every error an operator can meet says what was wrong, where, and what to do next. Two families matter:

* :class:`ConfigurationError` carries one :class:`Fault` for each thing wrong in a file or variable;
* :class:`CollectionError` carries the code that ends up in a ``DeviceBackupResult`` row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class ExitCode:
    """What a ``devicevault`` command tells its caller (75 and 78 are from sysexits.h)."""

    DONE = 0
    DEVICES_FAILED = 1
    USAGE = 2
    #: Of a scheduled run: no device at all was backed up, so something before the devices is wrong.
    NOTHING_COLLECTED = 3
    UNAVAILABLE = 75
    CONFIGURATION = 78


class DeviceVaultError(Exception):
    """Anything DeviceVault reports to an operator in words: the problem, then the next step (``fix``)."""

    exit_code: ClassVar[int] = ExitCode.DEVICES_FAILED

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}" if self.fix else self.problem


class UsageError(DeviceVaultError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = ExitCode.USAGE


class ServiceUnavailable(DeviceVaultError):
    """A broker, Redis or database does not answer; trying again later may help."""

    exit_code = ExitCode.UNAVAILABLE


class ServiceFull(ServiceUnavailable):
    """A service answers, and has no room for what it is given."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one place.

    ``source`` is a file's path, the name of an environment variable, or that of an inventory's source
    (``sources.cmdb``); ``key`` the dotted key (``devices.core-sw1.platform``), ``line`` the 1-based line where it is
    known for sure.
    """

    source: str
    problem: str
    fix: str = ""
    key: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        key = f" {self.key}:" if self.key else ""
        fix = f"; {self.fix}" if self.fix else ""
        return f"{place}:{key} {self.problem}{fix}"


class ConfigurationError(DeviceVaultError):
    """Settings, inventory, credentials, keys or a platform page are wrong; nothing was done."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, faults: Fault | Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class InventoryUnavailable(ConfigurationError):
    """A source of the inventory gives no answer, and none is kept from earlier."""

    exit_code = ExitCode.UNAVAILABLE


class NoDatabaseYet(ConfigurationError):
    """There is no database where the settings say: nothing was ever asked for here."""


class MalformedMessage(DeviceVaultError):
    """A request or a stream entry that can't be read; the reader sets it aside as a dead letter."""


class CollectionError(DeviceVaultError):
    """A collection that did not bring the whole configuration home. ``code`` goes into the row."""

    code: ClassVar[str] = "internal"


class DeviceUnreachable(CollectionError):
    """No TCP connection, no SSH banner, or the connection broke off."""

    code = "unreachable"


class UnreachableForGood(DeviceUnreachable):
    """Trying again changes nothing: something has to be set differently first."""


class SessionTimeout(CollectionError):
    """The session's deadline passed."""

    code = "timeout"


class AuthenticationFailed(CollectionError):
    """The device refused every credential offered, or the enable secret."""

    code = "auth"


class HostKeyRefused(CollectionError):
    """The device's host key is not the expected one, but ``seen`` (``type base64``)."""

    code = "host_key"

    def __init__(self, problem: str, fix: str = "", seen: str = "") -> None:
        super().__init__(problem, fix)
        self.seen = seen


class PromptNotFound(CollectionError):
    """The device's prompt was not recognised."""

    code = "prompt"


class CommandRejected(CollectionError):
    """The device answered with an error text instead of a configuration."""

    code = "rejected"


class CommandRefused(CommandRejected):
    """The device knows the command and keeps it from this login: another command would show less."""


class CommandNotListed(CollectionError):
    """DeviceVault itself would type what the platform's page does not list; nothing was typed."""


class OutputTruncated(CollectionError):
    """The output does not end as this platform's whole configuration ends."""

    code = "truncated"


class OutputEmpty(CollectionError):
    """The device sent nothing that could be a configuration."""

    code = "empty"


class DeviceLocked(CollectionError):
    """Another task is collecting this device."""

    code = "locked"


class PlatformUnknown(CollectionError):
    """The request names a platform this worker has no page for."""

    code = "platform"


class PluginUnusable(PlatformUnknown):
    """The platform's page needs a plugin that this worker lacks, can't load, or that refuses the page."""


class CredentialUnusable(CollectionError):
    """The named credential is missing on this worker, can't be read, or is not allowed for the device."""

    code = "credential"


class ConfigurationTooLarge(CollectionError):
    """An artifact is over the set size."""

    code = "too_large"


class CollectionLost(CollectionError):
    """The request outlived every possible wait without a result."""

    code = "lost"


class CollectionInterrupted(DeviceVaultError):
    """The worker is stopping: no result is written and the task goes back to its queue."""
