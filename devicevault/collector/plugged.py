"""A session that a plugin holds, read as a session on a command line is."""

from __future__ import annotations

import http.client
import logging
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol, TypeVar

import paramiko

from devicevault.collector.at_work import at_work_on
from devicevault.collector.completeness import agree, judge
from devicevault.collector.facts import Facts
from devicevault.collector.first_known import first_known
from devicevault.collector.normalise import normalise
from devicevault.collector.reached import ReachedDevice
from devicevault.collector.session import Reading
from devicevault.collector.text import decode
from devicevault.errors import (
    CollectionError,
    CommandRejected,
    DeviceUnreachable,
    DeviceVaultError,
    OutputEmpty,
    OutputTruncated,
    SessionTimeout,
)
from devicevault.messages import CollectFacts
from devicevault.platforms.page import ArtifactSource, Platform
from devicevault.plugins import Fetched, Plugin

logger = logging.getLogger(__name__)

R = TypeVar("R")
#: How a connection that breaks off looks from a plugin.
_BROKEN: Final = (OSError, EOFError, paramiko.SSHException, http.client.HTTPException)


class Readable(Protocol):
    """What is read of a device, whoever holds the session."""

    def read(self, source: ArtifactSource) -> Reading: ...
    def facts(self) -> CollectFacts: ...


class PluginSession:
    """An open session of a plugin. Left, it closes every connection."""

    def __init__(self, device: ReachedDevice, page: Platform, plugin: Plugin) -> None:
        """Logs in and reads the first artifact: with some APIs, that is the login. Raises a ``CollectionError``."""
        self._device = device
        self._page = page
        self._name = page.plugin.name if page.plugin else ""
        self._first: Reading | None = None
        told = page.model_copy(update={"author": [each for each in page.author if each.command is None]})
        self._facts = Facts(told, self._asked)
        try:
            self._session: AbstractContextManager[Callable[[str], Fetched]] = self._guarded(lambda: plugin.open(device))
            self._read = self._guarded(self._session.__enter__)
        except BaseException:
            device.close()
            raise
        try:
            self._first = self._reading(page.artifacts[0])
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __enter__(self) -> PluginSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._session.__exit__(kind, error, traceback)
        except Exception as late:  # noqa: BLE001 (what was read is read)
            if late is not error:
                logger.debug("plugin %r: %s while leaving", self._name, type(late).__name__)
        finally:
            self._device.close()

    def read(self, source: ArtifactSource) -> Reading:
        """The artifact, by the first of what the page asks that the device takes. Raises a :class:`CollectionError`."""
        reading, self._first = self._first, None
        if reading is None or source is not reading.source:
            reading = self._reading(source)
        if not source.binary:
            self._facts.look_at(decode(reading.original))
        return reading

    def facts(self) -> CollectFacts:
        """What the device says of itself, asked and in its texts; whatever it does not say stays empty."""
        return self._facts.told()

    def _asked(self, ask: str) -> str:
        """What the device answers; empty, with a word in the log, where it does not: the configuration is there."""
        self._device.doing(f"asking for {ask}")
        started = time.monotonic()
        try:
            answer = decode(self._guarded(lambda: self._read(ask)).content)
            self._device.steps.answered(ask, answer, time.monotonic() - started)
            return answer
        except SessionTimeout:
            raise
        except CollectionError as error:
            tell = self._device.note if isinstance(error, CommandRejected) else self._device.warn
            tell(f"What {ask} tells stays unknown: {error.problem}")
            return ""

    def _reading(self, source: ArtifactSource) -> Reading:
        return first_known(source.ask or ("",), lambda ask: self._whole(source, ask), self._device.note)

    def _whole(self, source: ArtifactSource, ask: str) -> Reading:
        started = time.monotonic()
        reading, proof = self._once(source, ask)
        if not proof:
            second, proof = self._once(source, ask)
            proof = proof or _agreed(self._page, reading, second)
            reading = second
        words = ", ".join(filter(None, (reading.completeness, proof)))
        self._device.note(
            f"Read {source.name}: {len(reading.original)} bytes in {time.monotonic() - started:.1f} s, whole: {words}"
        )
        return Reading(source, reading.original, reading.normalised, words)

    def _once(self, source: ArtifactSource, ask: str) -> tuple[Reading, str]:
        """The artifact, and how its transfer was proven whole."""
        self._device.doing(f"fetching {ask or source.name}")
        started = time.monotonic()
        fetched = self._guarded(lambda: self._read(ask))
        took_s = time.monotonic() - started
        self._device.logged_in()
        self._device.check_size(len(fetched.content))
        if not fetched.content:
            raise OutputEmpty(f"{self._device.name} sent an empty {source.name}", "see what the login may read")
        if source.binary:
            return Reading(source, fetched.content, normalise(self._page, ""), ""), fetched.proof
        text = decode(fetched.content).replace("\r\n", "\n")
        self._device.steps.answered(ask, text, took_s)
        with at_work_on(len(fetched.content)):
            proof = judge(self._page.judging(source), text)
            normalised = normalise(self._page, text, self._device.credential.typed)
        return Reading(source, fetched.content, normalised, proof), fetched.proof

    def _guarded(self, call: Callable[[], R]) -> R:
        """What a plugin returns. Raises nothing but errors that an operator understands."""
        try:
            return call()
        except DeviceVaultError:
            self._device.limit.check()
            raise
        except _BROKEN as error:
            self._device.limit.check()
            # Sentences of sockets and TLS; what a device sent is in none of them.
            raise DeviceUnreachable(
                f"{self._device.target} broke off while {self._device.limit.step}: {error or type(error).__name__}"
            ) from None
        except Exception as error:  # noqa: BLE001 (others' code)
            self._device.limit.check()
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("plugin %r: %s\n%s", self._name, type(error).__name__, frames)
            raise CollectionError(
                f"plugin {self._name!r} failed with {type(error).__name__} while {self._device.limit.step}",
                "see the worker's journal, and tell those who wrote it",
            ) from None


def _agreed(page: Platform, first: Reading, second: Reading) -> str:
    if not first.source.binary:
        return agree(page, first.normalised, second.normalised)
    if first.original != second.original:
        raise OutputTruncated(
            f"two readings differ ({len(first.original)} and {len(second.original)} bytes): one was cut, or the file "
            "was being written",
            "try again",
        )
    return "two readings agree"
