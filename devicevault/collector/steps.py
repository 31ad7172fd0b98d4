"""What happened in one collection, told twice: to the row's reader and to the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol

from devicevault.messages import LOG_MAX_CHARACTERS, LOG_MAX_LINES, CollectRequest, LogLine

logger = logging.getLogger("devicevault.collector")

HIDDEN: Final = "<secret hidden>"
#: The last line of a collection, its error or success, is the task's to log.
_LEVELS: Final = {"info": logging.DEBUG, "warning": logging.WARNING, "error": logging.DEBUG}

#: Told each thing typed (``typed``) and each answer (``seen``), secrets masked: ``collect --inline -v``.
Transcript = Callable[[str, str], None]


class Onlooker(Protocol):
    """Told all that passes in a trial's session, unmasked."""

    def at_prompt(self, shown: str, prompt: str) -> None:
        """The login, or ``enable``, led to this prompt; ``shown`` is what stood above it."""

    def answered(self, command: str, answer: str, seconds: float) -> None:
        """The device answered a command."""


class Steps:
    """The log lines of one collection. Secrets named to :meth:`hide` appear in none of them."""

    def __init__(
        self, request: CollectRequest, transcript: Transcript | None = None, onlooker: Onlooker | None = None
    ) -> None:
        self._onlooker = onlooker
        self._fields = {
            "device": request.device,
            "task_id": request.task_id,
            "group": request.group,
            "run_id": request.run_id,
        }
        self._lines: list[LogLine] = []
        self._secrets: list[str] = []
        self._transcript = transcript

    @property
    def lines(self) -> tuple[LogLine, ...]:
        return tuple(self._lines)

    def hide(self, secrets: Iterable[str]) -> None:
        """From now on these texts are masked."""
        self._secrets = sorted({*self._secrets, *filter(None, secrets)}, key=len, reverse=True)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is masked, longest first."""
        return tuple(self._secrets)

    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def info(self, message: str) -> None:
        self._tell("info", message)

    def warning(self, message: str) -> None:
        self._tell("warning", message)

    def error(self, message: str) -> None:
        self._tell("error", message)

    def typed(self, text: str) -> None:
        """Shows what was typed, where somebody looks on."""
        if self._transcript:
            self._transcript("typed", self.masked(text))

    def seen(self, redacted: Callable[[], str]) -> None:
        """Shows what the device answered, where somebody looks on; ``redacted`` applies the platform's rules."""
        if self._transcript:
            self._transcript("seen", self.masked(redacted()))

    def at_prompt(self, shown: str, prompt: str) -> None:
        if self._onlooker:
            self._onlooker.at_prompt(shown, prompt)

    def answered(self, command: str, answer: str, seconds: float) -> None:
        if self._onlooker:
            self._onlooker.answered(command, answer, seconds)

    def _tell(self, severity: str, message: str) -> None:
        message = self.masked(message)
        if len(message) > LOG_MAX_CHARACTERS:
            message = message[: LOG_MAX_CHARACTERS - 1] + "…"
        logger.log(_LEVELS[severity], "%s: %s", self._fields["device"], message, extra=self._fields)
        if len(self._lines) < LOG_MAX_LINES:
            self._lines.append(LogLine(time=datetime.now(UTC), severity=severity, message=message))
