"""Logging of the daemons: into the journal with fields where systemd started them, plain lines otherwise.

``journalctl -u 'devicevault-*' DEVICE=core-sw1`` finds one device's lines through every daemon, because each
is logged with ``extra={"device": …, "task_id": …, "group": …, "run_id": …}``.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final

from logging_journald import JournaldTransport, check_journal_stream

from devicevault import names
from devicevault.settings import Settings, mask_passwords

PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
DEBUG_PRIORITY: Final = 7

#: Libraries that tell each step of their own at INFO; paramiko logs with a traceback what a session reports in words.
QUIET: Final = {
    "paramiko": logging.CRITICAL,
    "amqp": logging.WARNING,
    "kombu": logging.WARNING,
    "alembic": logging.WARNING,
    "tornado.access": logging.WARNING,
}


class MaskedFormatter(logging.Formatter):
    """Hides the passwords of URLs in the whole text of a record, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_passwords(super().format(record))


class JournalHandler(logging.Handler):
    """Sends records to journald with the fields of :data:`devicevault.names.JOURNAL_FIELDS`.

    Only the formatted (and masked) message and these fields are sent: never the raw arguments of a record.
    """

    def __init__(self, identifier: str, transport: JournaldTransport) -> None:
        super().__init__()
        self.setFormatter(MaskedFormatter())
        self._identifier = identifier
        self._transport = transport

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._transport.send(self._fields(record))
        except OSError:
            # The journal is away: stderr is what systemd still reads.
            sys.stderr.write(f"{record.levelname.lower()}: {self.format(record)}\n")

    def _fields(self, record: logging.LogRecord) -> list[tuple[str, Any]]:
        fields: list[tuple[str, Any]] = [
            # What a device or another process said may hold halves of surrogate pairs, which UTF-8 does not know.
            ("MESSAGE", self.format(record).encode(errors="replace").decode()),
            ("PRIORITY", priority_of(record.levelno)),
            ("SYSLOG_IDENTIFIER", self._identifier),
            ("SYSLOG_PID", os.getpid()),
            ("LOGGER", record.name),
            ("THREAD_NAME", record.threadName or ""),
            ("CODE_FILE", record.pathname),
            ("CODE_LINE", record.lineno),
            ("CODE_FUNC", record.funcName),
        ]
        for attribute, field in names.JOURNAL_FIELDS.items():
            value = getattr(record, attribute, "")
            if value:
                fields.append((field, str(value).encode(errors="replace").decode()))
        return fields


class LineFormatter(MaskedFormatter):
    """For terminals and files: one line with the time, and the device in front of what is about one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        device = getattr(record, "device", "")
        return line if not device or device in line else f"{line} [{device}]"


def priority_of(level: int) -> int:
    """The syslog priority (2 critical … 7 debug) of a logging level."""
    return next((priority for least, priority in PRIORITIES if level >= least), DEBUG_PRIORITY)


def configure_logging(settings: Settings, daemon: str) -> None:
    """Send this process's log where it belongs, from the level in ``[log]``; ``daemon`` names it in the journal."""
    if check_journal_stream():
        install(JournalHandler(f"devicevault-{daemon}", JournaldTransport()))
    else:
        log_to_stderr()
    logging.getLogger().setLevel(settings.log.level.upper())
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


def log_to_stderr() -> None:
    """Plain lines on stderr, for what goes wrong before the settings are known."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    install(handler)


def install(handler: logging.Handler) -> None:
    """Make ``handler`` the only one of the root logger."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.captureWarnings(True)
