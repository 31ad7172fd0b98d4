"""A trial of a page, on a device or on a recording: all that happens is told, and nothing is stored."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from devicevault.collector.login_questions import asking_for_login
from devicevault.collector.normalise import normalise, without_volatile
from devicevault.collector.played import PlayedLine
from devicevault.collector.played_plugin import played_plugin
from devicevault.collector.plugged import Readable
from devicevault.collector.redact import PLACEHOLDER
from devicevault.collector.session import Reading, Session
from devicevault.collector.steps import Steps
from devicevault.collector.text import decode
from devicevault.credentials import Credential
from devicevault.errors import CollectionError, DeviceUnreachable, SessionTimeout
from devicevault.messages import CollectFacts, CollectRequest, LogLine
from devicevault.platforms.page import ArtifactSource, Platform
from devicevault.platforms.player import PlayedSession, Player
from devicevault.platforms.recording import Recording

#: Places a recorded configuration is cut at, to see whether the page finds it out.
CUTS: Final = 20
#: A played device takes any login; these are long enough to be hidden should they ever turn up.
_PLAYED: Final = Credential("recorded", "recorded", password="recorded password", enable="recorded enable")  # noqa: S106
_MAX_BYTES: Final = 1_000_000_000


@dataclass(frozen=True)
class Exchange:
    """One command and its answer, unmasked."""

    command: str
    answer: str
    seconds: float


class Watch:
    """Remembers all that passes in a session."""

    def __init__(self) -> None:
        #: What was shown above each new prompt, and the prompt.
        self.prompts: list[tuple[str, str]] = []
        self.exchanges: list[Exchange] = []

    def at_prompt(self, shown: str, prompt: str) -> None:
        self.prompts.append((shown, prompt))

    def answered(self, command: str, answer: str, seconds: float) -> None:
        self.exchanges.append(Exchange(command, answer, seconds))


@dataclass(frozen=True)
class TriedArtifact:
    """What became of one artifact: a reading proven whole, or the reason why there is none."""

    source: ArtifactSource
    reading: Reading | None
    problem: str = ""


@dataclass
class Trial:
    """What one session showed."""

    platform: Platform
    watch: Watch
    artifacts: list[TriedArtifact] = field(default_factory=list)
    facts: CollectFacts = field(default_factory=CollectFacts)
    #: Why the session ended early, or empty.
    problem: str = ""
    log: tuple[LogLine, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether a collection would have been a success."""
        tried = {artifact.source.name: artifact for artifact in self.artifacts}
        needed = [source.name for source in self.platform.artifacts if not source.optional]
        return all(name in tried and tried[name].reading for name in needed)

    @property
    def readings(self) -> list[Reading]:
        return [artifact.reading for artifact in self.artifacts if artifact.reading]


def try_session(session: AbstractContextManager[Readable], platform: Platform, steps: Steps, watch: Watch) -> Trial:
    """Reads all the page says, going on where a collection would give up. Raises nothing a device can cause."""
    trial = Trial(platform, watch)
    try:
        with session as opened:
            for source in platform.artifacts:
                trial.artifacts.append(_tried(opened, source, steps))
            trial.facts = opened.facts()
    except CollectionError as error:
        trial.problem = steps.masked(str(error))
    trial.log = steps.lines
    return trial


def try_recording(
    recording: Recording, platform: Platform, request: CollectRequest, cuts: tuple[float, ...] = ()
) -> Trial:
    """A trial on a recorded device; ``cuts`` are the shares of the configuration it shows, in turn."""
    watch = Watch()
    steps = Steps(request, onlooker=watch)
    player = Player(recording, platform, password=_PLAYED.password, enable=_PLAYED.enable, cuts=cuts)
    if platform.plugin:
        return try_session(played_plugin(player, _PLAYED, steps, _MAX_BYTES), platform, steps, watch)
    line = PlayedLine(PlayedSession(player, _PLAYED.username))
    # Where its terminal asks for name and password, a collection answers though the page says nothing of it.
    page = asking_for_login(platform) if recording.login else platform
    return try_session(Session(line, page, _PLAYED, steps, _MAX_BYTES), platform, steps, watch)


def unnoticed_cuts(recording: Recording, whole: Trial, request: CollectRequest) -> list[float]:
    """The shares of the recorded configuration that the page would take for a whole one."""
    text = whole.readings[0].normalised.comparable if whole.readings else ""
    unnoticed: list[float] = []
    for number in range(CUTS):
        shares = (number / CUTS, (number + 0.25) / CUTS, (number + 0.5) / CUTS)
        readings = try_recording(recording, whole.platform, request, shares).readings
        if readings and readings[0].source is whole.platform.artifacts[0] and readings[0].normalised.comparable != text:
            unnoticed.append(shares[0])
    return unnoticed


def left_out(platform: Platform, reading: Reading) -> list[tuple[str, list[str]]]:
    """Each volatile rule that took something away, and the lines it took, secrets hidden."""
    if reading.source.binary:
        return []
    text = masked(platform, decode(reading.original))
    taken: list[tuple[str, list[str]]] = []
    for pattern in platform.volatile:
        rest = without_volatile(text, (pattern,)).text
        gone = Counter(text.split("\n")) - Counter(rest.split("\n"))
        if gone:
            taken.append((pattern.pattern, list(gone.elements())))
        text = rest
    return taken


def hidden(reading: Reading) -> list[str]:
    """The lines in which something is hidden, as they are shown."""
    return [line.strip() for line in reading.normalised.text.split("\n") if PLACEHOLDER in line]


def masked(platform: Platform, text: str) -> str:
    """The text with its secrets hidden and all else left as it is."""
    bare = platform.model_copy(update={"volatile": (), "preamble": ()})
    return normalise(bare, text).text


def _tried(session: Readable, source: ArtifactSource, steps: Steps) -> TriedArtifact:
    try:
        return TriedArtifact(source, session.read(source))
    except (DeviceUnreachable, SessionTimeout):
        raise
    except CollectionError as error:
        return TriedArtifact(source, None, steps.masked(str(error)))
