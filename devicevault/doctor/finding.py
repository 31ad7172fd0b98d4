"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from devicevault.errors import ConfigurationError, DeviceVaultError, ExitCode


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: Collections work; something else will not, or not for long.
    WARNING = "warning"
    FAULT = "fault"
    #: It could not be looked at, because of a fault before it or for want of permission.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what is so, and what to do when it is not right."""

    check: str
    state: State
    text: str
    fix: str = ""
    exit_code: int = ExitCode.DEVICES_FAILED

    @classmethod
    def ok(cls, check: str, text: str) -> Finding:
        return cls(check, State.OK, text)

    @classmethod
    def warning(cls, check: str, text: str, fix: str) -> Finding:
        return cls(check, State.WARNING, text, fix)

    @classmethod
    def fault(cls, check: str, text: str, fix: str) -> Finding:
        return cls(check, State.FAULT, text, fix)

    @classmethod
    def unknown(cls, check: str, text: str, fix: str = "") -> Finding:
        return cls(check, State.UNKNOWN, text, fix)


def faults_of(check: str, error: DeviceVaultError) -> list[Finding]:
    """A finding for each thing an error tells."""
    if isinstance(error, ConfigurationError):
        return [
            Finding(check, State.FAULT, str(fault).removesuffix(f"; {fault.fix}"), fault.fix, error.exit_code)
            for fault in error.faults
        ]
    return [Finding(check, State.FAULT, error.problem, error.fix, error.exit_code)]


def exit_code(findings: Iterable[Finding]) -> int:
    """0 without a fault; else 78 when something is set wrongly, 75 when a service is away, 1 for anything else."""
    codes = {finding.exit_code for finding in findings if finding.state is State.FAULT}
    for code in (ExitCode.CONFIGURATION, ExitCode.UNAVAILABLE):
        if code in codes:
            return code
    return ExitCode.DEVICES_FAILED if codes else ExitCode.DONE
