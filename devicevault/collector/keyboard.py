"""All that a session can type: what its platform page lists, and secrets where they are asked for.

Promise 3 is held here, whatever stands above: a command the page does not list never reaches the device.
"""

from __future__ import annotations

import re
from typing import Final

from devicevault.collector.line import Line
from devicevault.collector.steps import HIDDEN, Steps
from devicevault.credentials import Credential
from devicevault.errors import AuthenticationFailed, CommandNotListed
from devicevault.platforms.page import Platform, Question

_LOGIN: Final = re.compile(r"\{(username|password)\}")


class Keyboard:
    """Types on one connection."""

    def __init__(self, connection: Line, platform: Platform, credential: Credential, steps: Steps) -> None:
        self._connection = connection
        self._page = platform.session
        self._listed = frozenset(platform.commands())
        self._title = platform.title
        self._credential = credential
        self._steps = steps
        self._enter = platform.session.enter or connection.RETURN
        self._passwords_typed: set[str] = set()

    @property
    def password_typed(self) -> bool:
        """Whether the password was asked for."""
        return bool(self._passwords_typed)

    def type(self, command: str) -> None:
        """Types a command of the page. Raises :class:`CommandNotListed` for any other, and types nothing."""
        if command not in self._listed:
            raise CommandNotListed(
                f"{command!r} is not listed in the page of {self._title}, and was not typed", "please report it"
            )
        self._steps.typed(command)
        self._connection.send(command + self._enter)

    def wake(self) -> None:
        """Presses what the page says wakes the device up."""
        if self._page.wake:
            self._connection.send(self._page.wake)

    def press_enter(self) -> None:
        self._connection.send(self._enter)

    def turn_page(self) -> None:
        """Answers the pager's question."""
        self._connection.send(self._page.pager_key)

    def answer(self, question: Question) -> None:
        """Answers a question of the page. Raises :class:`AuthenticationFailed` where a password is asked for twice."""
        asked_for = _LOGIN.fullmatch(question.answer)
        if asked_for is None:
            self._connection.send(question.answer)
        elif asked_for[1] == "username":
            self._connection.send(self._credential.username + self._enter)
        elif question.asks.pattern in self._passwords_typed:
            raise AuthenticationFailed(
                f"the device refused the password of credential {self._credential.name!r} behind SSH",
                "check the credential in the worker's credentials file and the account on the device",
            )
        else:
            self._passwords_typed.add(question.asks.pattern)
            self.secret(self._credential.password)

    def secret(self, secret: str) -> None:
        """Types what is not echoed and not shown."""
        self._steps.typed(HIDDEN)
        self._connection.send(secret + self._enter)
