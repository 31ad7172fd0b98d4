"""RabbitMQ beside AMQP: what its management API says of the queues, and how it hashes passwords."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

from devicevault.errors import ServiceUnavailable

TIMEOUT_S: Final = 5
ENABLE: Final = "rabbitmq-plugins enable rabbitmq_management"
UNAUTHORISED: Final = 401
#: RabbitMQ's name for what :func:`password_hash` does.
HASHING: Final = "rabbit_password_hashing_sha256"

# The broker is near: a proxy for the world outside has no business between.
_opener = build_opener(ProxyHandler({}))


class QueueState(NamedTuple):
    """One queue as RabbitMQ sees it."""

    name: str
    messages: int
    consumers: int


def queues(broker_api: str, virtual_host: str = "/") -> list[QueueState]:
    """Every queue of a virtual host. Raises :class:`ServiceUnavailable` with what to do when it can't be asked."""
    answer = _get(broker_api, f"queues/{quote(virtual_host, safe='')}")
    if not isinstance(answer, list):
        raise ServiceUnavailable(f"{_shown(broker_api)} is no management API of RabbitMQ", "correct broker_api")
    return [
        QueueState(str(queue.get("name")), int(queue.get("messages", 0)), int(queue.get("consumers", 0)))
        for queue in answer
        if isinstance(queue, dict)
    ]


def virtual_host_of(broker_url: str) -> str:
    """The virtual host an AMQP URL names; ``/`` is written as an empty one or as a second slash."""
    path = unquote(urlsplit(broker_url.partition(";")[0]).path[1:])
    return path or "/"


def password_hash(password: str) -> str:
    """As RabbitMQ keeps it: base64 of a salt of four bytes and SHA-256 of both (its documentation, "Passwords")."""
    salt = os.urandom(4)
    return b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def with_slash(broker_api: str) -> str:
    """The API's address with the slash at its end that relative addresses need."""
    return broker_api if broker_api.endswith("/") else broker_api + "/"


def _get(broker_api: str, resource: str) -> object:
    parts = urlsplit(with_slash(broker_api))
    request = Request(_shown(broker_api) + resource)  # noqa: S310 - the settings allow http(s) only
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + b64encode(login.encode()).decode())
    try:
        with _opener.open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except HTTPError as error:
        if error.code == UNAUTHORISED:
            problem = f"RabbitMQ's management API at {_shown(broker_api)} refuses user {parts.username or '(none)'}"
            raise ServiceUnavailable(problem, "correct user and password in broker_api") from None
        problem = f"RabbitMQ's management API at {_shown(broker_api)} answers {error.code} {error.reason}"
        raise ServiceUnavailable(
            problem, "see that broker_api ends in /api/ and that the user may see queues"
        ) from None
    except (OSError, HTTPException) as error:
        problem = (
            f"RabbitMQ's management API at {_shown(broker_api)} does not answer: {getattr(error, 'reason', error)}"
        )
        raise ServiceUnavailable(problem, f"run '{ENABLE}' on the broker's host, or correct broker_api") from None
    except ValueError:
        raise ServiceUnavailable(
            f"{_shown(broker_api)} is no management API of RabbitMQ", "correct broker_api"
        ) from None


def _shown(broker_api: str) -> str:
    """The API's address without user and password."""
    parts = urlsplit(with_slash(broker_api))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
