"""Hand notices to one receiver: through a program of its own or Apprise's, either with a time limit.

Apprise runs in a process of its own: its hundred services take fifty megabytes, and what hangs in one can be ended.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Flag
from typing import Any, Final

from devicevault.credentials.source import secret_source
from devicevault.errors import CredentialUnusable, ServiceUnavailable
from devicevault.names import MESSAGE_VERSION
from devicevault.outputs.mirror.repository import last_line
from devicevault.outputs.notices.compose import body, title
from devicevault.outputs.process import run
from devicevault.settings import ReceiverSettings, mask_passwords

_REASON_MAX: Final = 300


class NotDelivered(ServiceUnavailable):
    """The receiver did not take the notices; the text says why and holds no secret."""


def send(receiver: ReceiverSettings, notices: Sequence[dict[str, Any]], stop: Flag | None = None) -> None:
    """Send notices as one message. Raises :class:`NotDelivered`."""
    message: dict[str, Any] = {"v": MESSAGE_VERSION, "title": title(notices), "notices": list(notices)}
    if receiver.command:
        command = list(receiver.command)
    else:
        # Nothing secret is an argument: the URL goes in through standard input.
        command = [sys.executable, "-m", "devicevault.outputs.notices.apprise_sender"]
        message |= {"url": read_url(receiver), "body": body(notices), "severity": _severity(notices)}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DEVICEVAULT_")}
    feed = [json.dumps(message).encode() + b"\n"]
    try:
        done = run(command, timeout_s=receiver.timeout_s, feed=feed, environ=environ, stop=stop)
    except ServiceUnavailable as error:
        raise NotDelivered(error.problem, error.fix) from None
    except OSError as error:
        raise NotDelivered(f"{command[0]} can't be started: {error.strerror}") from None
    if done.code:
        reason = mask_passwords(last_line(done.errors))[:_REASON_MAX] or f"exit code {done.code}"
        program = f"{Path(command[0]).name}: " if receiver.command else ""
        raise NotDelivered(f"{program}{reason}")


def read_url(receiver: ReceiverSettings) -> str:
    """The receiver's Apprise URL. Raises :class:`NotDelivered`."""
    try:
        url = secret_source(dict(receiver.apprise), Path("/")).read().strip()
    except CredentialUnusable as error:
        raise NotDelivered(f"its URL can't be read: {error.problem}", "see docs/notices.md") from None
    if not url or len(url.split()) != 1:
        raise NotDelivered("its URL is empty or more than one", "write one Apprise URL there, and nothing else")
    return url


def _severity(notices: Sequence[dict[str, Any]]) -> str:
    """The worst of them."""
    order = ("failure", "warning", "success", "info")
    found = {str(notice.get("severity")) for notice in notices}
    return next((severity for severity in order if severity in found), "info")
