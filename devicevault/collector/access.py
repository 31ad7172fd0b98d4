"""How one collection gets to its device: the way there, the credentials in their order, the login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from devicevault.collector import ssh
from devicevault.collector.connection import DeviceConnection
from devicevault.collector.deadline import Limit
from devicevault.collector.jump import Passage
from devicevault.collector.keyring import Keyring
from devicevault.collector.line import Line
from devicevault.collector.login_questions import asking_for_login
from devicevault.collector.plugged import PluginSession
from devicevault.collector.reached import ReachedDevice
from devicevault.collector.session import Session
from devicevault.collector.steps import Steps
from devicevault.collector.tcp import Target
from devicevault.collector.telnet import TelnetLine
from devicevault.collector.way import way_to
from devicevault.credentials import Credential
from devicevault.errors import (
    AuthenticationFailed,
    CredentialUnusable,
    DeviceUnreachable,
    HostKeyRefused,
    UnreachableForGood,
)
from devicevault.messages import CollectRequest
from devicevault.platforms.page import Platform
from devicevault.plugins import Plugin

if TYPE_CHECKING:
    from devicevault.collector.collect import CollectorContext, Findings

#: A session of either kind.
S = TypeVar("S", Session, PluginSession)

SSH_PORT: Final = 22
TRANSPORTS: Final = ("ssh", "telnet")


class Access:
    """Opens sessions on the device of one request."""

    def __init__(self, request: CollectRequest, context: CollectorContext, steps: Steps, found: Findings) -> None:
        self._request = request
        self._context = context
        self._steps = steps
        self._found = found
        self._ssh = context.settings.for_group(request.group).ssh
        self._passage: Passage | None = None
        self.keyring = Keyring(context.credentials, context.logins, steps, request.group, self._ssh.max_refused_logins)

    @contextmanager
    def session(self, platform: Platform, limit: Limit) -> Iterator[Session]:
        """A session with the first credential the device takes; each is tried once, on a connection of its own.

        What breaks off on the way is told as such, whatever it looked like from here.
        """
        target = self._target(platform)
        with self._logged_in(
            target, limit, lambda name, passage: self._offer(name, platform, target, passage, limit)
        ) as session:
            yield session

    @contextmanager
    def plugged(self, platform: Platform, plugin: Plugin, limit: Limit) -> Iterator[PluginSession]:
        """As :meth:`session`, held by the plugin that the page names."""
        if self._request.transport != "ssh" or self._request.console:
            raise UnreachableForGood(
                f"{platform.name} is read by a plugin, which knows neither telnet nor console servers",
                "give the device another platform, or take transport and console away",
            )
        target = self._target(platform)
        with self._logged_in(
            target, limit, lambda name, passage: self._plugged(name, platform, plugin, target, passage, limit)
        ) as session:
            yield session

    @contextmanager
    def _logged_in(self, target: Target, limit: Limit, offer: Callable[[str, Passage], S]) -> Iterator[S]:
        with ExitStack() as opened:
            try:
                yield self._log_in(target, limit, opened, offer)
            except DeviceUnreachable as error:
                raise (self._passage.blamed(error) if self._passage else error) from None

    def connect(self, target: Target, limit: Limit) -> Passage:
        """A connected socket, guarded by ``limit``, on the way that the device or its group has."""
        way = way_to(self._request, self._context.settings, self._ssh)
        self._passage = None
        self._passage = self._context.jump_hosts.connect(way, target, limit, self.keyring)
        self._found.address = self._passage.address
        return self._passage

    def _log_in(self, target: Target, limit: Limit, opened: ExitStack, offer: Callable[[str, Passage], S]) -> S:
        self._check()
        failures: list[AuthenticationFailed | CredentialUnusable] = []
        for name in self._request.credentials:
            if failures:
                self._steps.warning(f"{failures[-1].problem}; trying credential {name!r}")
            passage = self.connect(target, limit)
            try:
                session = offer(name, passage)
            except (AuthenticationFailed, CredentialUnusable) as error:
                passage.sock.close()
                failures.append(error)
            except BaseException as error:
                passage.sock.close()
                if isinstance(error, HostKeyRefused):
                    self._found.host_key = error.seen
                raise
            else:
                return opened.enter_context(session)
        # What the device refused tells more than what was never offered to it.
        raise next((error for error in reversed(failures) if isinstance(error, AuthenticationFailed)), failures[0])

    def _check(self) -> None:
        if not self._request.credentials:
            raise CredentialUnusable("the request names no credential", "give the device or its group a credential")
        if self._request.transport not in TRANSPORTS:
            raise UnreachableForGood(
                f"the request asks for {self._request.transport!r}, which this worker does not speak",
                "run the same release on vault and workers",
            )

    def _offer(self, name: str, platform: Platform, target: Target, passage: Passage, limit: Limit) -> Session:
        """A session logged in with this credential. The caller closes the socket when it fails."""
        if self._request.transport == "telnet":
            credential = self.keyring.get(name, passage.address, telnet=True)
            self._steps.warning(
                "Telnet: everybody on the way can read the password and the configuration; move the device to SSH"
            )
            return self._at_prompt(TelnetLine(passage.sock, limit), platform, target, credential)
        if self._request.console:
            server = self.keyring.get(self._request.console, passage.address)
            line = self._over_ssh(server, target, passage, limit)
            return self._at_prompt(line, platform, target, self.keyring.get(name, passage.address))
        credential = self.keyring.get(name, passage.address)
        if target.no_ssh_auth:
            line = ssh.log_in(passage.sock, target, credential, limit)
            self._found.host_key = line.host_key_seen
            return self._at_prompt(line, platform, target, credential)
        return self._session(self._over_ssh(credential, target, passage, limit), platform, credential)

    def _plugged(
        self, name: str, page: Platform, plugin: Plugin, target: Target, passage: Passage, limit: Limit
    ) -> PluginSession:
        credential = self.keyring.get(name, passage.address)
        device = ReachedDevice(
            target=target,
            passage=passage,
            credential=credential,
            settings=page.plugin.settings if page.plugin else {},
            options=self._request.options,
            max_bytes=int(self._ssh.max_artifact_mb * 1e6),
            limit=limit,
            steps=self._steps,
            reach=self.connect,
            saw_host_key=lambda key: setattr(self._found, "host_key", key),
            note_login=lambda: self._note_login(credential, target.port),
        )
        with self.keyring.offered(credential):
            return PluginSession(device, page, plugin)

    def _over_ssh(self, credential: Credential, target: Target, passage: Passage, limit: Limit) -> DeviceConnection:
        with self.keyring.offered(credential):
            connection = ssh.log_in(passage.sock, target, credential, limit)
        self._found.host_key = connection.host_key_seen
        self._note_login(credential)
        if old := connection.legacy_algorithms_used:
            self._steps.warning(
                f"The connection relies on outdated algorithms ({', '.join(old)}); renew the device's SSH"
            )
        return connection

    def _at_prompt(self, line: Line, platform: Platform, target: Target, credential: Credential) -> Session:
        """A session on a line where the device itself asks for name and password."""
        login_name = credential.username + platform.session.login_suffix
        session = self._session(line, asking_for_login(platform), replace(credential, username=login_name))
        session.stays_logged_in = True
        try:
            with self.keyring.offered(credential):
                session.log_in()
        except AuthenticationFailed as error:
            session.__exit__(type(error), error, None)
            raise AuthenticationFailed(
                f"{target} refused user {credential.username!r} with the password of credential {credential.name!r}",
                "check the credential in the worker's credentials file and the account on the device",
            ) from None
        except BaseException as error:
            session.__exit__(type(error), error, None)
            raise
        self._note_login(credential)
        if not session.password_typed:
            self._steps.warning("The device asked for no password: somebody was logged in there already")
        return session

    def _note_login(self, credential: Credential, port: int = 0) -> None:
        way = way_to(self._request, self._context.settings, self._ssh)
        through = f" through {', '.join(hop.name for hop in way)}" if way else ""
        self._steps.info(
            f"Logged in to {self._found.address} port {port or self._request.port}{through} as {credential.username!r} "
            f"with credential {credential.name!r}"
        )

    def _session(self, line: Line, platform: Platform, credential: Credential) -> Session:
        return Session(line, platform, credential, self._steps, int(self._ssh.max_artifact_mb * 1e6))

    def _target(self, platform: Platform) -> Target:
        request = self._request
        return Target(
            address=request.address or request.device,
            port=_port(request, platform),
            driver=platform.session.driver,
            host_keys=request.host_keys,
            host_key_policy=self._ssh.host_keys,
            legacy=request.options.get("algorithms", self._ssh.algorithms) == "legacy",
            connect_timeout_s=self._ssh.connect_timeout_s,
            login_suffix=request.console_line if request.console else platform.session.login_suffix,
            no_ssh_auth=platform.session.ssh_auth == "none" and not request.console,
            ssh_user="" if request.console else platform.session.ssh_user,
            device=request.device,
            source_addresses=self._ssh.source_address,
        )


def _port(request: CollectRequest, platform: Platform) -> int:
    """The device's own port. 22 is what an inventory says that says none: where a plugin listens, its page knows."""
    return platform.plugin.port if platform.plugin and request.port == SSH_PORT else request.port
