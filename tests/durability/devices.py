"""A fleet that remembers: what each device held at which time, and every visit it had."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from devicevault.demo.configurations import configuration_for, secrets_of
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.fleet import Fleet, SimulatedDevice
from tests.simulated import platform_and_name, shown

PASSWORD: Final = "Durable-Canary-Password-29"
ENABLE: Final = "Durable-Canary-Enable-53"

UNPLUGGED: Final = "unplugged"
#: What a device may do and still show its whole configuration.
WHOLE: Final = ("", "", "slow")
#: What hinders a backup for some seconds, and what ends it at once.
HANGING: Final = ("stall", "no_banner", "auth_hang", "no_prompt")
FAILING: Final = ("cut", "close", "empty", "error_text", "hang_up", "refuse_auth", "flood", UNPLUGGED)
#: Those of them that hinder a login only: who is logged in already is shown the whole configuration.
AT_THE_DOOR: Final = ("no_banner", "auth_hang", "no_prompt", "hang_up", "refuse_auth", UNPLUGGED)
#: Kilobytes a configuration begins with, and gains with each change: it never shrinks, which would be suspect.
FIRST_KB: Final = 2
GAIN_KB: Final = 0.5
#: Every how many devices there is one whose configuration holds a line like its prompt.
LOOKALIKE_EVERY: Final = 5


@dataclass(frozen=True)
class State:
    """What a device held, and how it behaved, from a time on (seconds since 1970)."""

    since: float
    fault: str
    configuration: str
    #: As the vault tells it: ``sha256:HEX`` of the text a person may see.
    digest: str

    @property
    def is_whole(self) -> bool:
        """Whether a backup that begins now succeeds."""
        return self.fault in WHOLE

    @property
    def shows_all(self) -> bool:
        """Whether a session shows the whole configuration."""
        return self.is_whole or self.fault in AT_THE_DOOR


@dataclass(frozen=True)
class Visit:
    """One session, from login to logout, or one refused login (seconds since 1970)."""

    began: float
    ended: float


@dataclass
class RememberingDevice(SimulatedDevice):
    """Changed by :meth:`become` only, so that :attr:`states` holds all it ever was."""

    states: list[State] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    def __setattr__(self, name: str, value: Any) -> None:
        # A refused login is a visit as well: each one brings the account closer to being locked.
        if name == "refusals" and value > getattr(self, name, 0):
            self.visits.append(Visit(time.time(), time.time()))
        super().__setattr__(name, value)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        began = time.time()
        try:
            with super().session():
                yield
        finally:
            self.visits.append(Visit(began, time.time()))

    def become(self, version: int, fault: str) -> None:
        """Hold configuration number ``version`` and behave so from now on."""
        seed = int(self.name.rpartition("-")[2])
        text = configuration_for(self.platform, self.name, size_kb=FIRST_KB + GAIN_KB * version, seed=seed)
        self.configuration = self._with_lookalike(text) if seed % LOOKALIKE_EVERY == 0 else text
        self.fault = "" if fault == UNPLUGGED else fault
        digest = "sha256:" + hashlib.sha256(shown(self).encode()).hexdigest()
        self.states.append(State(time.time(), fault, self.configuration, digest))

    def _with_lookalike(self, text: str) -> str:
        """With a line in the middle that looks as if the prompt came: it ends a careless reading."""
        prompt = DIALECTS[self.platform].prompt.format(name=self.name, user=self.username)
        lines = text.split("\n")
        lines.insert(len(lines) // 2, f" description link-to {prompt.strip()} console")
        return "\n".join(lines)

    @property
    def version(self) -> int:
        return len({state.digest for state in self.states}) - 1

    @property
    def secrets(self) -> tuple[str, ...]:
        return secrets_of(self.platform, self.name, seed=int(self.name.rpartition("-")[2]))

    def held_between(self, began: float, ended: float) -> list[State]:
        """What it was at some moment of this time."""
        until = [*(state.since for state in self.states[1:]), float("inf")]
        return [state for state, end in zip(self.states, until, strict=True) if state.since <= ended and end >= began]


def device(number: int) -> RememberingDevice:
    """Number ``number`` of the fleet, whole as yet."""
    platform, name = platform_and_name(number)
    made = RememberingDevice(name, platform, "-", password=PASSWORD, enable=ENABLE)
    made.become(0, "")
    return made


class Fate:
    """Changes devices before they are asked for; the same seed, the same changes."""

    def __init__(self, fleet: Fleet, seed: int, *, hanging: float, failing: float, changing: float) -> None:
        """The shares of devices that hang, fail, and change their configuration each time they are asked for."""
        self._fleet = fleet
        self._random = random.Random(f"fate {seed}")
        self._hanging = hanging
        self._failing = failing
        self._changing = changing

    def befall(self, device: RememberingDevice) -> None:
        """Let the device be what chance wants it to be from now on."""
        version = device.version + (self._random.random() < self._changing)
        before, fault = device.states[-1].fault, self._fault()
        device.become(version, fault)
        if before == UNPLUGGED != fault:
            self._fleet.plug(device.name)
        if fault == UNPLUGGED != before:
            self._fleet.unplug(device.name)

    def _fault(self) -> str:
        chance = self._random.random()
        if chance < self._hanging:
            return self._random.choice(HANGING)
        if chance < self._hanging + self._failing:
            return self._random.choice(FAILING)
        return self._random.choice(WHOLE)
