"""TLS to the broker: kombu wants it told apart from the URL, and differently for each kind of broker.

Left to itself, kombu would check neither certificate nor host name. Here both are checked, unless the URL says
``ssl_cert_reqs=none``; ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile`` in the URL name files in PEM.
"""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from devicevault.settings import Settings
from devicevault.settings.urls import scheme

PREFIX: Final = "ssl_"
FILES: Final = ("ca_certs", "certfile", "keyfile")


def broker_tls(settings: Settings) -> dict[str, Any] | None:
    """What kombu takes as ``ssl``; ``None`` for a broker without TLS."""
    return tls_of(settings.broker_url)


def tls_of(url: str) -> dict[str, Any] | None:
    """As :func:`broker_tls`, for any URL; of several, the first tells the files."""
    kind = scheme(url)
    if kind not in ("amqps", "rediss"):
        return None
    told = dict(parse_qsl(urlsplit(url.partition(";")[0]).query))
    is_checked = told.get("ssl_cert_reqs", "required").lower().removeprefix("cert_") != "none"
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if is_checked else ssl.CERT_NONE}
    options |= {name: told[PREFIX + name] for name in FILES if PREFIX + name in told}
    if kind == "rediss":
        return {PREFIX + name: value for name, value in options.items()} | {"ssl_check_hostname": is_checked}
    # None: the name of the host that is connected to.
    return options | ({"server_hostname": None} if is_checked else {})


def without_tls_options(url: str) -> str:
    """The URL, or several, as kombu takes them: what is told in ``ssl`` does not stand in them again."""
    return ";".join(map(_bare, url.split(";")))


def _bare(url: str) -> str:
    parts = urlsplit(url)
    if PREFIX not in parts.query:
        return url
    kept = [(name, value) for name, value in parse_qsl(parts.query) if not name.startswith(PREFIX)]
    return parts._replace(query=urlencode(kept)).geturl()
