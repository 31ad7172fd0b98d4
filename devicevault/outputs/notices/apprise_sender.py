"""Send one message through Apprise; run as a program with JSON on standard input: ``url``, ``title``, ``body``.

Ends with 0 when the service took it, and otherwise says why on standard error, without anything secret of the URL.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import apprise

from devicevault.settings.masking import MASK

#: Shorter parts of a URL are words or numbers, and nothing to hide.
SECRET_FROM_CHARACTERS: Final = 4
_TYPES: Final = {
    "info": apprise.NotifyType.INFO,
    "success": apprise.NotifyType.SUCCESS,
    "warning": apprise.NotifyType.WARNING,
    "failure": apprise.NotifyType.FAILURE,
}


class _Complaints(logging.Handler):
    """What Apprise says of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


def secrets_in(url: str) -> Iterator[str]:
    """Every part of an Apprise URL that may be one: which it is, only its service knows."""
    parts = urlsplit(url)
    _, _, rest = url.partition("://")
    account = rest.partition("/")[0].rpartition("@")[0]
    found = [account, *account.split(":"), *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    # Many services have a token where others have a host; a name with a dot is one.
    host = rest.rpartition("@")[2].partition("/")[0].partition("?")[0]
    if "." not in host and not host.startswith("localhost"):
        found.append(host)
    for part in found:
        for form in (part, unquote(part)):
            if len(form) >= SECRET_FROM_CHARACTERS:
                yield form


def masked(text: str, url: str) -> str:
    """``text`` with whatever may be secret in ``url`` hidden."""
    for secret in sorted({url, *secrets_in(url)}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def send(url: str, title: str, body: str, severity: str) -> str:
    """Send it; why it was not taken, or nothing."""
    complaints = _Complaints()
    logger = logging.getLogger("apprise")
    logger.addHandler(complaints)
    logger.propagate = False
    asset = apprise.AppriseAsset(app_id="DeviceVault", app_desc="DeviceVault", app_url="", async_mode=False)
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        return "its URL is none Apprise knows; see https://appriseit.com/services/"
    try:
        is_taken = bool(
            service.notify(
                body=body,
                title=title,
                notify_type=_TYPES.get(severity, apprise.NotifyType.INFO),
                body_format=apprise.NotifyFormat.TEXT,
            )
        )
    except Exception as error:  # noqa: BLE001 - a hundred services, and a traceback may hold the URL
        complaints.told.append(type(error).__name__)
        is_taken = False
    if is_taken:
        return ""
    return masked(" ".join(" ".join(complaints.told).split()), url) or "the service did not take it"


def main() -> None:
    """Read the message, send it, and tell how it went."""
    message = json.load(sys.stdin)
    reason = send(message["url"], message["title"], message["body"], message["severity"])
    if reason:
        sys.stderr.write(reason + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
