"""A plugin's session on a recorded device, in this process: everything the collector does, and no network."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from devicevault.collector.deadline import Limit
from devicevault.collector.jump import Passage
from devicevault.collector.plugged import PluginSession
from devicevault.collector.reached import ReachedDevice
from devicevault.collector.steps import Steps
from devicevault.collector.tcp import Target
from devicevault.credentials import Credential
from devicevault.errors import CommandRejected, DeviceUnreachable
from devicevault.platforms.player import Player
from devicevault.plugins import Device, Fetched, Read

LIMIT_S: Final = 600.0


@dataclass(frozen=True)
class PlayedPlugin:
    """Answers what was recorded. It proves nothing of a transfer: the page alone has to judge what comes."""

    player: Player

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> tuple[str, ...]:
        return ()

    @contextmanager
    def open(self, device: Device) -> Iterator[Read]:
        yield self._read

    def _read(self, ask: str) -> Fetched:
        answer = self.player.answer(ask)
        if answer is None:
            raise CommandRejected(f"the recorded device knows no {ask}", "see ask in the page")
        return Fetched(answer.encode())


@contextmanager
def played_plugin(player: Player, credential: Credential, steps: Steps, max_bytes: int) -> Iterator[PluginSession]:
    """A session of the page's plugin on the recorded device. Raises a :class:`CollectionError`."""
    target = Target("recorded", 0, player.page.session.driver)
    device = ReachedDevice(
        target=target,
        # Nothing connects it: the plugin asks nobody.
        passage=Passage(socket.socket(), target.address),
        credential=credential,
        settings={},
        options={},
        max_bytes=max_bytes,
        limit=Limit(LIMIT_S),
        steps=steps,
        reach=_unreachable,
        saw_host_key=lambda key: None,
        note_login=lambda: None,
    )
    with PluginSession(device, player.page, PlayedPlugin(player)) as session:
        yield session


def _unreachable(target: Target, limit: Limit) -> Passage:
    raise DeviceUnreachable(f"{target} is a recording", "")
