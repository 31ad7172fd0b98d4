"""One SSH connection's transport: paramiko's, with what it forgets kept and what it does too often done less."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import paramiko

from devicevault.collector.deadline import shut
from devicevault.errors import AuthenticationFailed

# It logs tracebacks of its own for what ends as one sentence in a result.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

# It compares the digests of each packet in Python, one byte after the other.
paramiko.util.constant_time_bytes_eq = hmac.compare_digest
# It formats a traceback for that log whenever a connection ends badly, and looks at each source file to do so.
paramiko.util.tb_strings = list

#: Not offered unless a device or group is set to ``legacy``. HMAC-SHA-1 stays: no attack on SHA-1 reaches it.
LEGACY_ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "kex": ("diffie-hellman-group-exchange-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"),
    "keys": ("ssh-rsa",),
    "pubkeys": ("ssh-rsa",),
    "ciphers": ("aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"),
    "macs": ("hmac-md5", "hmac-sha1-96", "hmac-md5-96"),
}


#: What paramiko and RFC 4253 call the kinds of algorithms.
_KINDS: Final = (
    ("kex", "key exchange", ("kex_algo_list",)),
    ("keys", "host key algorithm", ("server_key_algo_list",)),
    ("ciphers", "cipher", ("client_encrypt_algo_list", "server_encrypt_algo_list")),
    ("macs", "MAC", ("client_mac_algo_list", "server_mac_algo_list")),
)
_MARKERS: Final = ("ext-info-", "kex-strict-")


class NothingInCommon(paramiko.ssh_exception.IncompatiblePeer):  # type: ignore[misc]  # paramiko is untyped
    """The device offers no algorithm of one kind that may be used."""

    def __init__(self, kind: str, title: str, offered: tuple[str, ...]) -> None:
        super().__init__(f"no {title} in common")
        self.title = title
        self.offered = offered
        self.is_legacy = not set(offered).isdisjoint(LEGACY_ALGORITHMS[kind])


#: Seconds between two looks whether a login's transport has died unheard.
_LOOK_S: Final = 1.0


class _AuthHandler(paramiko.AuthHandler):  # type: ignore[misc]  # paramiko is untyped
    """Waits for an answer without looking ten times a second whether it has come: a thousand waiting logins keep a
    processor busy with that.
    """

    def wait_for_response(self, event: threading.Event) -> Any:
        ends_at = time.monotonic() + self.transport.auth_timeout
        # The end of the transport sets the event as well, unless it ended while the question was being sent.
        while not event.wait(min(_LOOK_S, max(0.0, ends_at - time.monotonic()))) and self.transport.is_active():
            if time.monotonic() >= ends_at:
                raise paramiko.AuthenticationException("Authentication timeout.")
        return super().wait_for_response(event)


paramiko.transport.AuthHandler = _AuthHandler


class Transport(paramiko.Transport):  # type: ignore[misc]  # paramiko is untyped
    """A transport that remembers its key exchange, which paramiko forgets as soon as it is done, and asks nobody."""

    #: Seconds between two looks of paramiko's thread whether it is to end; it woke up ten times a second to look. What
    #: ends it wakes it, see below.
    _active_check_timeout = 1.0
    kex_used = ""
    #: Where it leads, in words.
    place = ""
    _device_offers: Mapping[str, list[str]] = MappingProxyType({})

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # It would start a thread for each handshake to watch the time, which the session's limit does.
        self.packetizer.start_handshake = lambda timeout: None

    def start_client(self, event: threading.Event | None = None, timeout: float | None = None) -> None:
        """Negotiates keys, within ``timeout`` seconds unless an ``event`` is to tell; asleep until that is done.

        Raises :class:`paramiko.SSHException`, or what ended the connection, where nothing came of it. paramiko's own
        looks ten times a second, and goes on where time ran out.
        """
        done = event or threading.Event()
        super().start_client(event=done)
        if event is None and not (done.wait(timeout) and self.active):
            raise self.get_exception() or paramiko.SSHException("Negotiation failed.")

    def stop_thread(self) -> None:
        # The thread would wait for data on a socket that is closed under it.
        shut(self.sock)
        super().stop_thread()

    def _really_parse_kex_init(self, *args: Any, **options: Any) -> Any:
        self._device_offers = super()._really_parse_kex_init(*args, **options)
        return self._device_offers

    def _parse_kex_init(self, *args: Any) -> None:
        try:
            super()._parse_kex_init(*args)
        except paramiko.ssh_exception.IncompatiblePeer:
            for kind, title, lists in _KINDS:
                usable = getattr(self, f"preferred_{kind}")
                for offered in (self._device_offers.get(name, []) for name in lists):
                    if not set(offered) & set(usable):
                        real = tuple(name for name in offered if not name.startswith(_MARKERS))
                        raise NothingInCommon(kind, title, real) from None
            raise

    def auth_interactive(self, username: str, handler: Callable[..., list[str]], submethods: str = "") -> list[str]:
        """Answers one question. A second one asks for the password again, or for a new one."""
        asked = False

        def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            nonlocal asked
            if prompts and asked:
                raise AuthenticationFailed(
                    f"{self.place} asked {prompts[0][0].strip()[:60]!r} after it was given the password",
                    "see that the password is right and not expired; nobody here knows a one-time code",
                )
            asked = asked or bool(prompts)
            return handler(title, instructions, prompts)

        methods: list[str] = super().auth_interactive(username, answer, submethods)
        return methods

    def auth_interactive_dumb(self, username: str, handler: Any = None, submethods: str = "") -> list[str]:
        """Nobody sits at this terminal. Raises what says that a key alone will not do."""
        raise paramiko.BadAuthenticationType("a key is not enough", ["password", "keyboard-interactive"])

    @property
    def kex_engine(self) -> Any:
        return self._kex_engine

    @kex_engine.setter
    def kex_engine(self, engine: Any) -> None:
        self._kex_engine = engine
        self.kex_used = getattr(engine, "name", self.kex_used)
