"""A device played from a recording: keys go in, and what the terminal shows comes out. No network, no waiting."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from devicevault.platforms.page import Platform
from devicevault.platforms.recording import Recording


@dataclass
class Player:
    """One device; each session on it is a :class:`PlayedSession` of its own."""

    recording: Recording
    page: Platform
    password: str = ""
    enable: str = ""
    #: Of the configuration's lines, only such a share is shown: each in turn, as often as it is asked for.
    cuts: tuple[float, ...] = ()
    #: How often each command was asked, and everything that was typed.
    asked: Counter[str] = field(default_factory=Counter)
    typed: list[str] = field(default_factory=list)

    def answer(self, command: str) -> str | None:
        """The answer to a command this time; None where the device does not know it."""
        self.asked[command] += 1
        answer = self.recording.answer(command, self.asked[command], self.page)
        if answer is None or not self.cuts or command not in self._reading():
            return answer
        turn = (self.asked[command] - 1) % len(self.cuts)
        share = self.cuts[turn]
        # One more each time, for in a short answer different shares may be the same number of lines.
        if self.page.plugin:  # a transfer breaks off anywhere
            return answer[: int(len(answer) * share) + turn]
        lines = answer.rstrip().splitlines(keepends=True)
        ends = [0, *(number for number, line in enumerate(lines, 1) if self._is_kept(line))]
        # Never the last: one of several cuts that shows everything is none.
        first = max(0, min(int(len(ends) * share), len(ends) - 1 - len(self.cuts)))
        return "".join(lines[: ends[min(first + turn, len(ends) - 1)]])

    def _is_kept(self, line: str) -> bool:
        """Whether a cut behind this line differs from one before it: blank and volatile lines say nothing."""
        return bool(line.strip()) and not any(pattern.search(line) for pattern in self.page.volatile)

    def _reading(self) -> set[str]:
        mark = self.page.complete.mark_with
        commands = self.page.artifacts[0].commands
        return {*commands, *self.page.artifacts[0].ask, *(mark.replace("{command}", command) for command in commands)}


#: Times a login may be tried in one session.
LOGINS_MAX: Final = 3
#: Yields when it waits for a key, and is sent one.
Keys = Generator[None, str, None]


class PlayedSession:
    """One login on a played device."""

    def __init__(self, player: Player, user: str = "") -> None:
        self.player = player
        self.recording = player.recording
        self.user = user
        self.ended = False
        self._shown: list[str] = []
        self._silenced: set[str] = set()
        self._privileged = not self.recording.unprivileged_prompt
        self._after_return = False
        self._session = self._run()
        next(self._session)

    def press(self, keys: str) -> None:
        """Types these keys one after the other."""
        for key in keys:
            if self.ended:
                return
            try:
                self._session.send(key)
            except StopIteration:
                self.ended = True

    def shown(self) -> str:
        """What came on the terminal since the last time."""
        text = "".join(self._shown)
        self._shown.clear()
        return text

    def _run(self) -> Keys:
        yield from self._expect(self.recording.silent_until)
        self._print(self.recording.greeting)
        for _ in range(LOGINS_MAX):
            if self.ended or (yield from self._logged_in()):
                break
            self._print("\nLogin incorrect\n")
        else:
            return
        while not self.ended:
            self._print(self.recording.prompt if self._privileged else self.recording.unprivileged_prompt)
            command = yield from self._line()
            if command == self.player.page.session.leave:
                self.player.typed.append(command)
                return
            if command:
                self.player.typed.append(command)
                yield from self._obey(command)

    def _logged_in(self) -> Generator[None, str, bool]:
        """Whether the login's questions were answered rightly."""
        is_right = True
        for login in self.recording.login:
            self._print(login.shows)
            wanted = {"{username}": self.user, "{password}": self.player.password}.get(login.expects)
            if wanted is None:
                yield from self._expect(login.expects)
            else:
                typed = yield from self._line(echo=login.expects == "{username}")
                is_right &= typed == wanted
        return is_right

    def _obey(self, command: str) -> Keys:
        # What a device says of itself, most say to any login.
        if not self._privileged and command not in {fact.command for fact in self.player.page.facts}:
            yield from self._enable(command)
            return
        answer = self.player.answer(command)
        if answer is None:
            self._print(self.recording.unknown)
            return
        self._silenced.add(command)
        yield from self._page(answer)

    def _enable(self, command: str) -> Keys:
        if command != self.player.page.session.enable:
            self._print(self.recording.unknown)
            return
        if self.recording.enable_asks:
            self._print(self.recording.enable_asks)
            secret = yield from self._line(echo=False)
            if secret != self.player.enable:
                self._print("% Access denied\n")
                return
        self._privileged = True

    def _page(self, text: str) -> Keys:
        pager = self.recording.pager
        if pager is None or (pager.off and self._silenced.issuperset(pager.off)):
            self._print(text)
            return
        lines = text.splitlines(keepends=True)
        for start in range(0, len(lines), pager.lines):
            self._print("".join(lines[start : start + pager.lines]))
            if start + pager.lines < len(lines):
                self._print(pager.asks)
                yield from self._expect(pager.key)
                self._print(pager.wipes)

    def _print(self, text: str) -> None:
        self._shown.append(re.sub(r"(?<!\r)\n", lambda _: self.recording.line_end, text))

    def _expect(self, keys: str) -> Keys:
        """Waits for these very keys; any other ends the session."""
        for key in keys:
            typed: str = yield
            if typed == "\n" and self._after_return:
                typed = yield
            self._after_return = False
            if typed != key:
                self.player.typed.append(f"{typed!r} where {keys!r} was asked for")
                self.ended = True
                return

    def _line(self, *, echo: bool = True) -> Generator[None, str, str]:
        """One line, echoed as a terminal does."""
        line = ""
        while True:
            key = yield
            follows_return, self._after_return = self._after_return, key == "\r"
            if key == "\n" and follows_return and "\n" in self.recording.enter:
                continue
            if key in self.recording.enter:
                break
            line += key
            if echo and self.recording.echo:
                self._shown.append(key)
        if self.recording.echo:
            self._shown.append(self.recording.line_end)
        return line
