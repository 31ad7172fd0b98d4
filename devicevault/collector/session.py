"""A session on a device, from the first packet to the farewell, as its platform page says."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from devicevault.collector.at_work import at_work_on
from devicevault.collector.completeness import agree, count_in, counted, judge, lines_in, rejection
from devicevault.collector.facts import Facts
from devicevault.collector.first_known import first_known
from devicevault.collector.keyboard import Keyboard
from devicevault.collector.line import Line
from devicevault.collector.normalise import Normalised, normalise, without_preamble
from devicevault.collector.prompt import PromptReader
from devicevault.collector.steps import Steps
from devicevault.collector.text import clean, decode
from devicevault.credentials import Credential
from devicevault.errors import (
    AuthenticationFailed,
    CredentialUnusable,
    OutputTruncated,
)
from devicevault.messages import CollectFacts
from devicevault.platforms.page import ArtifactSource, Platform

#: Readings of a configuration without an end mark, until two in a row agree.
READINGS_MAX: Final = 3
#: Readings of a configuration until it has as many lines as the device counts.
COUNTED_MAX: Final = 2


@dataclass(frozen=True)
class Reading:
    """One artifact as read: proven whole."""

    source: ArtifactSource
    #: As the device sent it, without echo, prompt and pager.
    original: bytes
    normalised: Normalised
    #: What proved it whole.
    completeness: str
    #: Lines that came, counted as the device counts them.
    lines: int = 0


class Session:
    """An open session. A context: left, it says goodbye and closes the connection."""

    def __init__(
        self, connection: Line, platform: Platform, credential: Credential, steps: Steps, max_bytes: int
    ) -> None:
        self._connection = connection
        self._platform = platform
        self._credential = credential
        self._steps = steps
        self._max_bytes = max_bytes
        #: Set where a login outlasts the connection, as on a serial line: then even a failed session says goodbye.
        self.stays_logged_in = False
        #: What was shown up to the first prompt.
        self.greeting = ""
        self._keyboard = Keyboard(connection, platform, credential, steps)
        self._reader = PromptReader(connection, self._keyboard, platform.session, max_bytes)
        self._facts = Facts(platform, self.ask)

    def __enter__(self) -> Session:
        try:
            self._prepare()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._reader.leave()
            else:
                self._show(clean(self._reader.unfinished, echo=""))
                if self.stays_logged_in and self._reader.prompt:
                    self._reader.leave()
        finally:
            self._connection.disconnect()

    @property
    def banner(self) -> str:
        """What the other side of the line calls itself."""
        return self._connection.banner

    @property
    def prompt(self) -> str:
        """The prompt as last seen."""
        return self._reader.prompt

    @property
    def password_typed(self) -> bool:
        """Whether the device asked for a password at its prompt."""
        return self._keyboard.password_typed

    def log_in(self) -> None:
        """Reads up to the first prompt, answering what the page knows to be asked; entering the session does it too."""
        if not self._reader.prompt:
            self.greeting = self._reader.log_in()
            self._show(self.greeting)
            self._steps.at_prompt(self.greeting, self._reader.prompt)

    def read(self, source: ArtifactSource) -> Reading:
        """The artifact, by the first of its commands the device knows. Raises a :class:`CollectionError`."""
        reading = first_known(source.commands, lambda command: self._read_whole(source, command), self._steps.info)
        self._facts.look_at(decode(reading.original))
        return reading

    def facts(self) -> CollectFacts:
        """What the device says of itself, asked and in what was read; whatever it does not say stays empty."""
        return self._facts.told()

    def ask(self, command: str) -> str:
        """The device's answer to one command."""
        return decode(self._ask(command)[0])

    def _prepare(self) -> None:
        self.log_in()
        self._enable()
        for command in self._platform.session.pager_off:
            if line := rejection(self._platform, self.ask(command)):
                self._steps.warning(f"the device did not take {command!r} ({line[:80]}): its pager may be on")

    def _enable(self) -> None:
        page = self._platform.session
        if page.unprivileged is None or not _matches(page.unprivileged, self._reader.prompt):
            return
        self._connection.limit.step = "entering privileged mode"
        self._keyboard.type(page.enable)
        shown = asked = self._reader.read(page.enable, page.enable_prompt, new_prompt=True)
        if page.enable_prompt.search(asked.rpartition("\n")[2]):
            if not self._credential.enable:
                raise CredentialUnusable(
                    f"the device asks for an enable secret and credential {self._credential.name!r} has none",
                    "add `enable` to the credential in the worker's credentials file",
                )
            self._keyboard.secret(self._credential.enable)
            asked = self._reader.read("", page.enable_prompt, new_prompt=True)
            shown += asked
        if page.enable_prompt.search(asked.rpartition("\n")[2]) or _matches(page.unprivileged, self._reader.prompt):
            raise AuthenticationFailed(
                f"the device refused the enable secret of credential {self._credential.name!r}",
                "check `enable` of the credential in the worker's credentials file",
            )
        self._steps.info("Entered privileged mode")
        self._steps.at_prompt(shown, self._reader.prompt)

    def _read_whole(self, source: ArtifactSource, command: str) -> Reading:
        started = time.monotonic()
        reading = self._read_proven(source, command)
        self._steps.info(
            f"Read {source.name}: {len(reading.original)} bytes in {time.monotonic() - started:.1f} s, "
            f"whole: {reading.completeness}"
        )
        return reading

    def _read_proven(self, source: ArtifactSource, command: str) -> Reading:
        """The best proof the device has: a mark, a count, or two readings that agree."""
        complete = self._platform.judging(source).complete
        if complete.mark_with:
            if marked := self._read_marked(source, command):
                return marked
            self._steps.info(f"the device writes no end mark after {command!r}; reading twice instead")
        reading = self._read_once(source, command)
        if complete.count_with:
            if whole := self._read_counted(reading, command):
                return whole
            self._steps.warning(f"the device does not count the lines of {command!r}; reading twice instead")
        return self._read_again(reading, command) if complete.read_twice else reading

    def _read_marked(self, source: ArtifactSource, command: str) -> Reading | None:
        """The artifact up to the mark the device was made to write; None where the device takes no such command."""
        platform = self._platform.judging(source)
        complete = platform.complete
        typed = complete.mark_with.replace("{command}", command)
        original, lines = self._ask(typed, source)
        text = decode(original)
        begins = complete.begins_with is None or complete.begins_with.match(without_preamble(platform, text))
        if rejection(platform, text) or (text and not begins):
            return None
        with at_work_on(len(original)):
            proof = judge(platform, text, marked=True)
            return Reading(source, original, self._normalised(text), proof, lines)

    def _read_counted(self, reading: Reading, command: str) -> Reading | None:
        """The artifact with as many lines as the device counts; None where the device does not count."""
        platform = self._platform.judging(reading.source)
        complaint = None
        for _ in range(COUNTED_MAX):
            if complaint is not None:
                self._steps.warning(f"{complaint.problem}; reading once more")
                reading = self._read_once(reading.source, command)
            count = count_in(platform, self.ask(platform.complete.count_with.replace("{command}", command)))
            if count is None:
                break
            try:
                proof = counted(reading.lines, count)
            except OutputTruncated as error:
                complaint = error
            else:
                return replace(reading, completeness=", ".join(filter(None, (reading.completeness, proof))))
        if complaint is not None:
            raise complaint
        return None

    def _read_once(self, source: ArtifactSource, command: str) -> Reading:
        original, lines = self._ask(command, source)
        with at_work_on(len(original)):
            text = decode(original)
            proof = judge(self._platform.judging(source), text)
            return Reading(source, original, self._normalised(text), proof, lines)

    def _read_again(self, reading: Reading, command: str) -> Reading:
        for attempt in range(2, READINGS_MAX + 1):
            second = self._read_once(reading.source, command)
            try:
                agreed = agree(self._platform, reading.normalised, second.normalised)
            except OutputTruncated as error:
                if attempt == READINGS_MAX:
                    raise
                self._steps.warning(f"{error.problem}; reading once more")
                reading = second
                continue
            reading = replace(second, completeness=", ".join(filter(None, (second.completeness, agreed))))
            break
        return reading

    def _ask(self, command: str, source: ArtifactSource | None = None) -> tuple[bytes, int]:
        """The answer without echo and prompt, and how many lines it has as the device counts them."""
        self._connection.limit.step = f"reading the answer to {command!r}"
        started = time.monotonic()
        raw = self._reader.run(command)
        took_s = time.monotonic() - started
        above = self._platform.session.above_prompt
        # Cleaned as Latin-1, so that the original keeps the device's own bytes whatever their encoding.
        with at_work_on(len(raw)):
            answer = clean(raw, echo=command, prompt=self._reader.prompt, above_prompt=above).encode("latin-1")
        self._show(answer.decode("latin-1"))
        self._steps.answered(command, decode(answer), took_s)
        platform = self._platform.judging(source) if source else self._platform
        # Only compared with the device's own count, where it has one.
        lines = lines_in(platform, raw, echoed=self._reader.echoes) if platform.complete.count_with else 0
        return answer, lines

    def _normalised(self, text: str) -> Normalised:
        secrets = (self._credential.password, self._credential.enable, self._credential.passphrase)
        return normalise(self._platform, text, secrets)

    def _show(self, text: str) -> None:
        self._steps.seen(lambda: self._normalised(decode(text.encode("latin-1"))).text)


def _matches(pattern: re.Pattern[str], prompt: str) -> bool:
    return any(pattern.search(form) for form in (prompt, prompt + " "))
