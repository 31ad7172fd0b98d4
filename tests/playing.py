"""A simulated device that plays a recording over SSH."""

from __future__ import annotations

from dataclasses import dataclass, field

from devicevault.demo.fleet import Served, SimulatedDevice
from devicevault.demo.terminal import Receive, Send
from devicevault.platforms.player import PlayedSession, Player


@dataclass
class PlayedDevice(SimulatedDevice):
    """A device of a recording."""

    player: Player = field(kw_only=True)

    def __post_init__(self) -> None:
        """No dialect is needed: the recording says all."""
        self.player.password = self.password
        self.player.enable = self.enable

    def terminal(self, user: str, send: Send, receive: Receive) -> Served:
        if only := self.player.page.session.ssh_user:
            assert user == only, "SSH lets nobody else in"
            user = self.username  # whom the terminal asks for
        return _Terminal(PlayedSession(self.player, user), send, receive)


class _Terminal:
    def __init__(self, session: PlayedSession, send: Send, receive: Receive) -> None:
        self._session = session
        self._send = send
        self._receive = receive

    async def run(self) -> None:
        while True:
            await self._send(self._session.shown().encode())
            if self._session.ended:
                return
            keys = await self._receive()
            if not keys:
                return
            self._session.press(keys.decode())
