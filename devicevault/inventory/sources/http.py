"""One HTTP request, asked carefully: TLS is checked, secrets stay with their host, nothing is read without end."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Annotated, Any, Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from pydantic import AfterValidator, BaseModel

from devicevault import __version__
from devicevault.inventory.sources.failed import SourceFailed
from devicevault.inventory.sources.secret import Secret, read_secret
from devicevault.inventory.sources.table import WebUrl
from devicevault.inventory.unfit import Unfit

MAX_BYTES: Final = 64 * 1024 * 1024
_SECRET_HEADERS: Final = ("auth", "token", "key", "secret", "cookie", "passw")
_REFUSED: Final = (401, 403)


class Page(NamedTuple):
    """An answer's body and its media type."""

    body: bytes
    media_type: str


def _checked_headers(headers: dict[str, Any]) -> dict[str, Any]:
    for name in headers:
        if any(word in name.lower() for word in _SECRET_HEADERS):
            raise Unfit(f"{name!r} looks like a secret", "write it in secret_headers, by reference")
    return headers


class Access(BaseModel):
    """How a web server lets us in; a part of the table of a source that is asked over HTTP."""

    url: WebUrl
    #: ``Authorization: Bearer …``, unless the kind of source knows better.
    token: Secret | None = None
    user: str = ""
    password: Secret | None = None
    headers: Annotated[dict[str, str], AfterValidator(_checked_headers)] = {}
    secret_headers: dict[str, Secret] = {}
    #: A file in PEM with the authority that signed the server's certificate, besides those the system knows.
    ca_file: str = ""

    def authorization(self) -> str:
        """The header's value, empty for none. Raises :class:`SourceFailed`."""
        if self.token is not None:
            return f"Bearer {read_secret(self.token, 'token')}"
        if self.user or self.password is not None:
            password = read_secret(self.password, "password") if self.password is not None else ""
            return "Basic " + b64encode(f"{self.user}:{password}".encode()).decode()
        return ""

    def get(self, url: str, folder: Path, timeout_s: float) -> Page:
        """What ``url`` answers. Raises :class:`SourceFailed`."""
        headers = {"User-Agent": f"devicevault/{__version__}", "Accept": "application/json, */*;q=0.5", **self.headers}
        secret = {name: read_secret(source, name) for name, source in self.secret_headers.items()}
        if authorization := self.authorization():
            secret["Authorization"] = authorization
        try:
            return _get(url, {**headers, **secret}, str(folder / self.ca_file) if self.ca_file else None, timeout_s)
        except SourceFailed as failed:
            # A server may say again what it was told.
            words = {word for value in secret.values() for word in (value, value.rpartition(" ")[2])}
            raise SourceFailed(_masked(failed.problem, words), failed.fix) from None


class _SameHostOnly(HTTPRedirectHandler):
    """Follows redirects within a server; to another one, the headers with our secrets would go along."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise SourceFailed(
                f"{_origin(req.full_url)} sends us on to {_origin(newurl)}", "set url to where the answer is"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _get(url: str, headers: Mapping[str, str], ca_file: str | None, timeout_s: float) -> Page:
    try:
        request = Request(url, headers=dict(headers))  # noqa: S310 - the table allows http(s) only
        opener = build_opener(_SameHostOnly, HTTPSHandler(context=_tls(ca_file)))
        with opener.open(request, timeout=timeout_s) as answer:
            return _read(answer)
    except HTTPError as error:
        raise _refusal(url, error) from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceFailed(f"{_origin(url)} can't be asked: {_words(reason)}") from None


def _words(reason: Any) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    plain = reason.strerror if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError) else ""
    return plain or str(reason) or type(reason).__name__


def _tls(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise SourceFailed(f"ca_file {ca_file} can't be used: {error.strerror or error}") from None
    return context


def _read(answer: HTTPResponse) -> Page:
    body = answer.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise SourceFailed(f"the answer is over {MAX_BYTES // 1024 // 1024} MB", "ask for less")
    length = answer.getheader("Content-Length")
    if length is not None and length.isdecimal() and len(body) < int(length):
        raise SourceFailed("the answer was cut off")
    return Page(body, answer.headers.get_content_type())


def _refusal(url: str, error: HTTPError) -> SourceFailed:
    said = f"{_origin(url)} answers {error.code} {error.reason}{_detail(error)}"
    if error.code in _REFUSED:
        return SourceFailed(said, "correct its token, user or password; it must have the right to look at devices")
    return SourceFailed(said, "correct its url" if error.code == 404 else "")


def _detail(error: HTTPError) -> str:
    """The reason an API gives in JSON."""
    try:
        told = json.loads(error.read(4096))["detail"]
    except (OSError, HTTPException, ValueError, LookupError, TypeError):
        return ""
    return f" ({told})" if isinstance(told, str) and len(told) < 200 else ""


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "********")
    return text


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
