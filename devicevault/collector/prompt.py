"""Reading what a device answers, up to its prompt.

netmiko takes the prompt for found wherever its text occurs, and so ends a configuration at a line such as
``description link-to r1# console``. Here the prompt counts only as the whole last line, only after the command's
echo, and only when nothing follows it for a moment.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Final

from devicevault.collector.keyboard import Keyboard
from devicevault.collector.line import Line
from devicevault.collector.text import answered, last_line
from devicevault.errors import ConfigurationTooLarge, DeviceUnreachable, DeviceVaultError, PromptNotFound
from devicevault.platforms.page import Question
from devicevault.platforms.page import Session as Page

#: The prompt is looked for in this much of the end, the command's echo in this much of the beginning.
TAIL_CHARACTERS: Final = 4096
HEAD_CHARACTERS: Final = 4096
#: Seconds of silence after the prompt that make it the end of an answer.
SETTLE_S: Final = 0.1
#: The same for a prompt other than before, or without an echo seen.
DOUBT_S: Final = 2.0
#: Seconds of silence after login until Enter is tried, and how often before the last line is an unknown prompt.
NUDGE_S: Final = 5.0
NUDGES_MAX: Final = 2
#: Seconds to wait for a device to close the connection after it was told to.
LEAVE_S: Final = 0.5
LAST_WORDS_CHARACTERS: Final = 120


class PromptReader:
    """What a person at the terminal does: types, and reads until the prompt is back."""

    def __init__(self, connection: Line, keyboard: Keyboard, page: Page, max_bytes: int) -> None:
        self.prompt = ""
        self._connection = connection
        self._keyboard = keyboard
        self._page = page
        self._max_bytes = max_bytes
        #: Whether the device shows what is typed.
        self.echoes = True
        self._answer = _Answer("", max_bytes)

    @property
    def unfinished(self) -> str:
        """What came of the newest answer."""
        return self._answer.text

    def log_in(self) -> str:
        """Reads the greeting up to the first prompt, answering what the page expects to be asked."""
        self._connection.limit.step = "waiting for the first prompt"
        answer = self._answer = _Answer("", self._max_bytes)
        silent_s = 0.0
        nudges = 0
        self._keyboard.wake()
        while True:
            data = self._greeting()
            line = answer.add(data)
            silent_s = 0.0 if data else silent_s + SETTLE_S
            if data:
                continue
            if asked := self._asked(line, "login"):
                self._keyboard.answer(asked[0])
                answer.go_on(asked[1])
            elif self._is_prompt(line):
                self.prompt = line.strip()
                return answer.text
            elif silent_s >= NUDGE_S and nudges < NUDGES_MAX:
                # Some devices show nothing before the first key.
                self._keyboard.press_enter()
                silent_s = 0.0
                nudges += 1
            elif silent_s >= NUDGE_S and line.strip():
                raise PromptNotFound(
                    f"the device's last line after login, {line.strip()[:60]!r}, is not a prompt of its platform",
                    "check the device's platform, or `prompt` in the platform's page",
                )

    def run(self, command: str) -> str:
        """Types a command and returns all that came up to and including the prompt, as Latin-1."""
        self.drain()
        self._keyboard.type(command)
        return self.read(command)

    def drain(self) -> None:
        """Forgets what came unasked, such as a log message, so that it is not taken for an answer."""
        while self._connection.receive(0):
            pass

    def read(self, echo: str, question: re.Pattern[str] | None = None, *, new_prompt: bool = False) -> str:
        """All that comes up to the prompt, or up to ``question`` on the last line.

        ``new_prompt`` says that the prompt is expected to change, as ``enable`` makes it do.
        Raises :class:`ConfigurationTooLarge`, and what :meth:`Line.receive` raises.
        """
        answer = self._answer = _Answer(echo if self.echoes else "", self._max_bytes)
        silent_s = 0.0
        wait_s = DOUBT_S
        while True:
            data = self._connection.receive(wait_s)
            line = answer.add(data)
            silent_s = 0.0 if data else silent_s + wait_s
            wait_s = DOUBT_S
            if self._page.pager_prompt is not None and (more := self._page.pager_prompt.search(line)):
                self._keyboard.turn_page()
                answer.go_on(more.start())
            elif asked := self._asked(line, "reading"):
                self._keyboard.answer(asked[0])
                answer.go_on(asked[1])
            elif question is not None and question.search(line):
                return answer.text
            elif self._is_prompt(line):
                sure = answer.echoed and (new_prompt or line.strip() == self.prompt)
                if silent_s >= (SETTLE_S if sure else DOUBT_S):
                    self.echoes = self.echoes and answer.echoed
                    self.prompt = line.strip()
                    return answer.text
                wait_s = SETTLE_S

    def leave(self) -> None:
        """Types the page's farewell and lets the device close the connection."""
        self._connection.limit.step = "leaving"
        # All was read: a device that closes at once, or hangs now, spoils nothing.
        with contextlib.suppress(DeviceVaultError):
            self._keyboard.type(self._page.leave)
            ends = time.monotonic() + LEAVE_S
            while time.monotonic() < ends:
                self._connection.receive(LEAVE_S)

    def _greeting(self) -> str:
        """What comes next after login. A device that hangs up mostly says why, and so does the error then."""
        try:
            return self._connection.receive(SETTLE_S)
        except DeviceUnreachable as error:
            last_words = last_line(self._answer.text.rstrip()).strip()
            if not last_words:
                raise
            raise DeviceUnreachable(f"{error.problem}; it said {last_words[:LAST_WORDS_CHARACTERS]!r}") from None

    def _is_prompt(self, line: str) -> bool:
        stripped = line.strip()
        if not stripped:
            return False
        return any(self._page.prompt.fullmatch(form) for form in (line, line.rstrip(), stripped, stripped + " "))

    def _asked(self, line: str, when: str) -> tuple[Question, int] | None:
        """The page's question this line asks, and the column it begins at."""
        for question in self._page.questions:
            if question.when == when and (found := question.asks.search(line)):
                return question, found.start()
        return None


class _Answer:
    """What came so far: pieces to be joined once, and only the ends looked at."""

    def __init__(self, echo: str, max_bytes: int) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._max_bytes = max_bytes
        self._head = ""
        self._tail = ""
        self._echo = "".join(echo.split())
        self.echoed = not self._echo

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add(self, data: str) -> str:
        """Takes the next piece; returns the line the cursor is on."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._max_bytes:
            raise ConfigurationTooLarge(
                f"the device sent more than {self._max_bytes / 1e6:g} MB for one command",
                "raise ssh.max_artifact_mb, or give the device another platform or command",
            )
        self._tail = (self._tail + data)[-TAIL_CHARACTERS:]
        if not self.echoed and len(self._head) < HEAD_CHARACTERS:
            self._head += data[:HEAD_CHARACTERS]
            # A line editor may redraw the command as it is typed: what stands there in the end counts.
            lines = (last_line(line) for line in self._head.replace("\r\n", "\n").split("\n"))
            self.echoed = any(self._echo in "".join(line.split()) for line in lines)
        return last_line(self._tail)

    def go_on(self, column: int) -> None:
        """The question at this column is answered; what follows may stand on the same line."""
        self._pieces.append(answered(column))
        self._tail = ""
