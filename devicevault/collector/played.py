"""A session on a recorded device, in this process: everything the collector does, and no network."""

from __future__ import annotations

from typing import Final

from devicevault.collector.deadline import Limit
from devicevault.errors import DeviceUnreachable, SessionTimeout
from devicevault.platforms.player import PlayedSession

#: Seconds of silence after which nobody would wait any longer; none of them passes.
SILENCE_MAX_S: Final = 60.0
LIMIT_S: Final = 600.0


class PlayedLine:
    """A line to a played device. Silence takes no time: nothing can come that was not caused by a key."""

    RETURN = "\n"

    def __init__(self, session: PlayedSession) -> None:
        self.limit = Limit(LIMIT_S)
        self.banner = session.recording.banner
        self._session = session
        self._silent_s = 0.0

    def receive(self, wait_s: float) -> str:
        """What the device shows next. Raises :class:`SessionTimeout` when nothing more would ever come."""
        shown = self._session.shown()
        if shown:
            self._silent_s = 0.0
            # A line's signs are Latin-1 on their way, so that no byte is lost.
            return shown.encode().decode("latin-1")
        if self._session.ended:
            raise DeviceUnreachable(f"the device closed the connection while {self.limit.step}")
        self._silent_s += wait_s
        if self._silent_s > SILENCE_MAX_S:
            raise SessionTimeout(
                f"the recorded device waits for something while {self.limit.step}; its screen ends with no prompt of "
                "the page and no question the page knows",
                "see prompt, pager_prompt and questions of the page",
            )
        return ""

    def send(self, text: str) -> None:
        if self._session.ended:
            raise DeviceUnreachable(f"the device closed the connection while {self.limit.step}")
        self._silent_s = 0.0
        self._session.press(text)

    def disconnect(self) -> None:
        """Nothing to close."""
