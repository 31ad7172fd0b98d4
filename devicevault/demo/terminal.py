"""One interactive session on a simulated device: echo, pager, enable, and the faults a device can have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Never

from devicevault.demo.dialects import CHANGES, DIALECTS, Reading

if TYPE_CHECKING:
    from devicevault.demo.fleet import SimulatedDevice

Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[bytes]]

#: Lines the terminal shows before the pager asks.
PAGE_LINES: Final = 23
SLOW_PIECE: Final = 512


class SessionEnded(Exception):  # noqa: N818 - not an error
    """The device ends the session, or the other side went away."""


class Terminal:
    """What happens between login and logout. ``send`` and ``receive`` carry raw bytes."""

    def __init__(self, device: SimulatedDevice, user: str, send: Send, receive: Receive) -> None:
        self.device = device
        self.dialect = DIALECTS[device.platform]
        self.user = user
        self._send = send
        self._receive = receive
        self._typed = bytearray()
        self._after_return = False
        self._paging = bool(self.dialect.pager)
        self._privileged = not (self.dialect.user_prompt and device.enable)

    @property
    def prompt(self) -> str:
        form = self.dialect.prompt if self._privileged else self.dialect.user_prompt
        return form.format(name=self.device.name, user=self.user)

    async def run(self) -> None:
        """Serve the session until either side ends it."""
        try:
            await self._print(self.dialect.motd)
            if self.device.fault == "no_prompt":
                await self._hang()
            while True:
                await self._show_prompt()
                await self._obey(await self._read_line())
        except SessionEnded:
            return

    async def _obey(self, command: str) -> None:
        if not command:
            return
        self.device.commands.append(command)
        if self.device.delay_s:
            await asyncio.sleep(self.device.delay_s)
        if re.fullmatch(self.dialect.leave, command):
            raise SessionEnded
        if self.dialect.user_prompt and command == "enable":
            await self._enable()
        elif self._privileged and re.fullmatch(self.dialect.show, command):
            paged = "no-more" not in command and "without-paging" not in command
            await self._show_configuration(self.dialect.mark if "; :put " in command else "", paged=paged)
        elif self._privileged and re.fullmatch(self.dialect.startup, command):
            await self._page(self._printed(self.device.startup))
        elif self._privileged and re.fullmatch(self.dialect.count, command):
            await self._count_lines(self.device.startup if "startup" in command else self.device.configuration)
        else:
            await self._answer(command)

    async def _answer(self, command: str) -> None:
        answer = self.dialect.answer(command)
        if answer is None:
            if CHANGES.fullmatch(command):
                self.device.changes.append(command)
            answer = self.dialect.error.format(command=command)
        elif re.fullmatch(self.dialect.silence, command):
            self._paging = False
        await self._page(answer)

    async def _enable(self) -> None:
        if self._privileged:
            return
        await self._print("Password: ")
        if await self._read_line(echo=False) == self.device.enable:
            self._privileged = True
        else:
            await self._print("% Access denied\n\n")

    def _printed(self, configuration: str) -> str:
        """The configuration as it is shown now."""
        device = self.device
        # A second later at each reading: two readings within one second would print the same time.
        clock = datetime.now(UTC) + timedelta(seconds=device.readings)
        return self.dialect.frame(
            configuration, Reading(device.name, self.user, device.readings, clock, device.author or self.user)
        )

    async def _count_lines(self, configuration: str) -> None:
        lines = self._printed(configuration).splitlines()
        count = len(lines) if self.dialect.counts_blank else sum(1 for line in lines if line.strip())
        await self._print(self.dialect.count_form.format(count=count))

    async def _show_configuration(self, mark: str, *, paged: bool) -> None:
        device = self.device
        device.readings += 1
        text = self._printed(device.configuration) + mark
        match device.fault:
            case "error_text":
                await self._print(self.dialect.error.format(command="show"))
            case "empty":
                return
            case "cut" | "close" | "stall":
                await self._page(text[: int(len(text) * device.cut_share)].rpartition("\n")[0] + "\n", paged=paged)
                await self._break_off()
            case "flood":
                while True:
                    await self._print(text)
                    # Others get their turn, and this session learns when its connection is gone.
                    await asyncio.sleep(0)
            case "slow":
                for start in range(0, len(text), SLOW_PIECE):
                    await self._print(text[start : start + SLOW_PIECE])
                    await asyncio.sleep(device.delay_s or 0.05)
            case "lookalike":
                lines = text.split("\n")
                lines.insert(len(lines) // 2, f" description link-to {self.prompt.strip()} console")
                await self._page("\n".join(lines), paged=paged)
            case _:
                await self._page(text, paged=paged)

    async def _break_off(self) -> None:
        if self.device.fault == "stall":
            await self._hang()
        if self.device.fault == "close":
            raise SessionEnded

    async def _hang(self) -> Never:
        """Say nothing more until the other side gives up."""
        while await self._receive():
            pass
        raise SessionEnded

    async def _page(self, text: str, *, paged: bool = True) -> None:
        """Print ``text``, asking for a key after each screenful unless the pager was silenced."""
        lines = text.splitlines(keepends=True)
        if not (paged and self._paging):
            await self._print(text)
            return
        position, wanted = 0, PAGE_LINES
        while True:
            await self._print("".join(lines[position : position + wanted]))
            position += wanted
            if position >= len(lines):
                return
            await self._print(self.dialect.pager)
            key = await self._read_key()
            await self._print(self.dialect.erase)
            if key in b"qQ\x03":
                return
            wanted = 1 if key in b"\r\n" else PAGE_LINES

    async def _show_prompt(self) -> None:
        await self._print(self.dialect.bracket[0] + self.prompt)

    async def _print(self, text: str) -> None:
        await self._send(re.sub(r"(?<!\r)\n", "\r\n", text).encode())

    async def _read_key(self) -> bytes:
        while not self._typed:
            data = await self._receive()
            if not data:
                raise SessionEnded
            self._typed += data
        key = bytes(self._typed[:1])
        del self._typed[:1]
        return key

    async def _read_line(self, *, echo: bool = True) -> str:
        """One typed line, echoed as a terminal does. A return, a line feed, or both together end it."""
        line = bytearray()
        while True:
            key = await self._read_key()
            follows_return, self._after_return = self._after_return, key == b"\r"
            if key == b"\n" and follows_return:
                continue
            if key in b"\r\n":
                break
            if key in b"\x08\x7f":
                del line[-1:]
                continue
            line += key
            if echo:
                await self._send(key)
        await self._send((self.dialect.newline + self.dialect.bracket[1]).encode())
        return line.decode(errors="replace").strip()
