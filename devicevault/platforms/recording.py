r"""A device's session in a file: what it shows at login, and what it answers to each command.

A recording is TOML. Tests play it over SSH, ``devicevault platforms check`` judges a page by it, and
``devicevault platforms try --capture`` writes one. What differs from one reading to the next is written
``{{first||second}}``: odd times a command is asked the device prints the first, even times the second.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devicevault.errors import ConfigurationError, Fault
from devicevault.platforms.page import Platform
from devicevault.tomlfile import read_toml

_CHOICE: Final = re.compile(r"\{\{((?:(?!\}\}|\|\|)[\s\S])*)\|\|((?:(?!\}\})[\s\S])*)\}\}")
_SAME: Final = re.compile(r"\{\{same as ([^\n]+?)\}\}")
_COUNT: Final = re.compile(r"\{\{count( [+-]\d+)?\}\}")

#: A captured device's error text is an answer like any other; it stands in the beginning.
_ERROR_CHARACTERS: Final = 300


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Login(_Part):
    """Something asked between the SSH login and the first prompt."""

    #: Printed as it stands.
    shows: str
    #: What has to be typed; ``{username}`` and ``{password}`` are the login's, with Enter. A single key needs no Enter.
    expects: str = ""


class Pager(_Part):
    """How an answer longer than the screen is halted."""

    #: The question, as it stands on the last line.
    asks: str
    #: The key that shows the next page.
    key: str = " "
    #: What wipes the question off the screen: mostly backspaces, or ``\\r`` and blanks.
    wipes: str = ""
    #: Lines on one page.
    lines: int = Field(default=6, ge=1)
    #: The commands that silence it, if any; each must be typed.
    off: tuple[str, ...] = ()


class Expected(_Part):
    """What a collection has to bring."""

    #: Must stand in an answer, and nowhere in what is shown.
    secrets: tuple[str, ...] = ()
    #: Must be in what is shown: such as a word that looks like a secret and is none.
    shown: tuple[str, ...] = ()
    model: str = ""
    version: str = ""
    serial: str = ""
    #: The artifacts kept.
    artifacts: tuple[str, ...] = ("running",)


class Recording(_Part):
    """One device."""

    #: The platform's name; where it is empty, the file's own.
    platform: str = ""
    #: Where the device's behaviour is described.
    sources: tuple[str, ...] = ()
    #: What the SSH server calls itself, such as ``SSH-2.0-Cisco-1.25``.
    banner: str = ""
    #: Printed after login, in front of the first prompt.
    greeting: str = ""
    #: Nothing is shown before this is typed.
    silent_until: str = ""
    login: tuple[Login, ...] = ()
    #: Printed as it stands; may have lines above it. Empty where the page has a plugin, which sees no terminal.
    prompt: str = ""
    #: The prompt before the page's ``enable``, if there is such a step.
    unprivileged_prompt: str = ""
    #: What asks for the enable secret; empty where none is asked.
    enable_asks: str = ""
    #: Whether what is typed is shown.
    echo: bool = True
    #: What ends a line.
    line_end: str = "\r\n"
    #: What ends what is typed: any of these signs.
    enter: str = "\r\n"
    pager: Pager | None = None
    #: Said to a command that is not among the answers.
    unknown: str = "% Invalid input detected at '^' marker.\n"
    #: Each command, or what a plugin is asked for, and its answer. ``{{same as COMMAND}}`` stands for another one's,
    #: ``{{count}}`` for the number of lines of the first artifact's, counted as the page says; ``{{count +1}}`` for one
    #: more.
    answers: Annotated[dict[str, str], Field(min_length=1)]
    expect: Expected = Expected()

    @classmethod
    def load(cls, path: Path) -> Recording:
        """The recording in this file. Raises :class:`ConfigurationError` with every fault of it."""
        document = read_toml(path)
        try:
            recording = cls.model_validate({"platform": path.stem, **document.data})
        except ValidationError as error:
            items = error.errors(include_url=False, include_input=False)
            raise ConfigurationError([document.fault(item["loc"], item["msg"]) for item in items]) from None
        try:
            for command in recording.answers:
                recording.answer(command)
        except KeyError as error:
            raise ConfigurationError(
                Fault(str(path), f"{{{{same as {error.args[0]}}}}}: there is no answer to that command")
            ) from None
        return recording

    def answer(self, command: str, time: int = 1, page: Platform | None = None) -> str | None:
        """What is printed when ``command`` is asked for the ``time``-th time; None where it is not known.

        Without the page, ``{{count}}`` stays as it stands.
        """
        if command not in self.answers:
            return None
        text = _SAME.sub(lambda same: self._other(same[1]), self.answers[command])
        text = _CHOICE.sub(lambda choice: choice[1 + (time + 1) % 2], text)
        if page and _COUNT.search(text):
            lines = self._lines(page, time)
            text = _COUNT.sub(lambda count: str(lines + int((count[1] or "0").replace(" ", ""))), text)
        return text

    def artifact_command(self, page: Platform, number: int = 0) -> str | None:
        """The first command of the page's artifact that this device knows."""
        return next((command for command in page.artifacts[number].commands if self._knows(command, page)), None)

    def _knows(self, command: str, page: Platform) -> bool:
        head = self.answers.get(command, "").lstrip("\n")[:_ERROR_CHARACTERS]
        return command in self.answers and not any(error.search(head) for error in page.errors)

    def _other(self, command: str) -> str:
        return self.answers[command]

    def _lines(self, page: Platform, time: int) -> int:
        command = self.artifact_command(page)
        answer = self.answer(command, time) if command else None
        lines = (answer or "").splitlines()
        return len(lines) if page.complete.counts_blank else sum(1 for line in lines if line.strip())
