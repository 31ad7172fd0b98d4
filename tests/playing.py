"""A simulated device that plays a recording: its prompt, its pager, its questions, and its answers word for word."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field

from devicevault.demo.fleet import Served, SimulatedDevice
from devicevault.demo.terminal import Receive, Send, SessionEnded
from devicevault.platforms.page import Platform
from devicevault.platforms.recording import Recording


@dataclass
class PlayedDevice(SimulatedDevice):
    """A device of a recording. Its fault may be ``cut``, at another place each time."""

    recording: Recording = field(kw_only=True)
    page: Platform = field(kw_only=True)
    #: How often each command was asked.
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """No dialect is needed: the recording says all."""

    def terminal(self, user: str, send: Send, receive: Receive) -> Served:
        return PlayedTerminal(self, user, send, receive)


class PlayedTerminal:
    """One session on a played device."""

    def __init__(self, device: PlayedDevice, user: str, send: Send, receive: Receive) -> None:
        self.device = device
        self.recording = device.recording
        self.session = device.page.session
        self.user = user
        self._send = send
        self._receive = receive
        self._typed = ""
        self._after_return = False
        self._privileged = not self.recording.unprivileged_prompt
        self._silenced: set[str] = set()

    async def run(self) -> None:
        try:
            await self._expect(self.recording.silent_until)
            await self._print(self.recording.greeting)
            for login in self.recording.login:
                await self._print(login.shows)
                await self._log_in(login.expects)
            while True:
                await self._print(self.recording.prompt if self._privileged else self.recording.unprivileged_prompt)
                await self._obey(await self._read_line())
        except SessionEnded:
            return

    async def _log_in(self, expects: str) -> None:
        wanted = {"{username}": self.user, "{password}": self.device.password}.get(expects)
        if wanted is None:
            await self._expect(expects)
        elif await self._read_line(echo=expects == "{username}") != wanted:
            raise SessionEnded

    async def _obey(self, command: str) -> None:
        if not command:
            return
        self.device.commands.append(command)
        if command == self.session.leave:
            raise SessionEnded
        if not self._privileged:
            await self._enable(command)
            return
        self.device.asked[command] += 1
        answer = self.recording.answer(command, self.device.asked[command], self.device.page)
        if answer is None:
            await self._print(self.recording.unknown)
            return
        self._silenced.add(command)
        if self.device.fault == "cut" and command in self._reading_commands():
            lines = answer.splitlines(keepends=True)
            answer = "".join(lines[: len(lines) * (3 + self.device.asked[command] % 5) // 8])
        await self._page(answer)

    def _reading_commands(self) -> set[str]:
        mark = self.device.page.complete.mark_with
        commands = self.device.page.artifacts[0].commands
        return {*commands, *(mark.replace("{command}", command) for command in commands)}

    async def _enable(self, command: str) -> None:
        if command != self.session.enable:
            await self._print(self.recording.unknown)
            return
        if self.recording.enable_asks:
            await self._print(self.recording.enable_asks)
            if await self._read_line(echo=False) != self.device.enable:
                await self._print("% Access denied\n")
                return
        self._privileged = True

    async def _page(self, text: str) -> None:
        pager = self.recording.pager
        if pager is None or (pager.off and self._silenced.issuperset(pager.off)):
            await self._print(text)
            return
        lines = text.splitlines(keepends=True)
        for start in range(0, len(lines), pager.lines):
            await self._print("".join(lines[start : start + pager.lines]))
            if start + pager.lines < len(lines):
                await self._print(pager.asks)
                await self._expect(pager.key)
                await self._print(pager.wipes)

    async def _print(self, text: str) -> None:
        if text:
            await self._send(re.sub(r"(?<!\r)\n", lambda _: self.recording.line_end, text).encode())

    async def _expect(self, keys: str) -> None:
        """Waits for these very keys; any other ends the session."""
        for key in keys:
            if await self._read_key() != key:
                self.device.commands.append(f"a key other than {keys!r}")
                raise SessionEnded

    async def _read_key(self) -> str:
        while not self._typed:
            data = await self._receive()
            if not data:
                raise SessionEnded
            self._typed += data.decode()
        key, self._typed = self._typed[0], self._typed[1:]
        return key

    async def _read_line(self, *, echo: bool = True) -> str:
        line = ""
        while True:
            key = await self._read_key()
            follows_return, self._after_return = self._after_return, key == "\r"
            if key == "\n" and follows_return and "\n" in self.recording.enter:
                continue
            if key in self.recording.enter:
                break
            line += key
            if echo and self.recording.echo:
                await self._send(key.encode())
        if self.recording.echo:
            await self._send(self.recording.line_end.encode())
        await asyncio.sleep(0)
        return line
