"""Which platform a device is of: from what it shows at login, and from a few harmless questions.

The prompt says which pages can be meant. Of those, the commands that their ``facts`` ask are typed, the commonest
first: ``show version``, ``display version`` and the like. Nothing else is typed, and nothing at all where no page
knows the prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from devicevault.collector.completeness import rejection
from devicevault.collector.login_questions import asking_for_login
from devicevault.collector.session import Session
from devicevault.messages import CollectFacts
from devicevault.platforms import Platforms
from devicevault.platforms.page import Platform

#: Commands typed at most.
QUESTIONS_MAX: Final = 16
#: How much each kind of evidence weighs: what only one platform shows, then what its page finds in the answers.
_RECOGNISED: Final = 8
_WEIGHTS: Final = {"version": 3, "model": 2, "serial": 1}

#: A command line of any make, for a login before its platform is known.
_ANY_PROMPT: Final = r"[^\n]{0,160}[#>$%\])] ?|\[[^\n]{1,120}\]/[^\n]{0,60}: ?|(?:[\w.-]{1,64} )?\* ?"
_ANY_PAGER: Final = (
    r"(?i)^.{0,20}(?:-+ ?\(?more\b[^\n]{0,60}|<-+ ?more ?-+>|press (?:any key|space)[^\n]{0,60}|"
    r"lines \d+-\d+[^\n]{0,40}|.{0,60}\bq Quit SPACE\b[^\n]{0,60}|:) *\Z"
)


@dataclass(frozen=True)
class Guess:
    """A platform the device may be of."""

    platform: str
    #: What speaks for it; more is better.
    weight: int
    #: The page's own mark was seen.
    recognised: bool
    facts: CollectFacts


@dataclass
class Detection:
    """What a device showed, and what it may be: the likeliest first."""

    banner: str = ""
    prompt: str = ""
    asked: list[str] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)

    @property
    def is_certain(self) -> bool:
        """Whether nothing else fits as well."""
        return bool(self.guesses) and (len(self.guesses) == 1 or self.guesses[0].weight > self.guesses[1].weight)


def probing(platforms: Platforms) -> Platform:
    """A page that can ask what any page asks for its facts."""
    commands = sorted({fact.command for page in platforms for fact in page.facts if fact.command})
    questions = [
        question.model_dump()
        for page in platforms
        for question in page.session.questions
        if question.when == "login" and not question.answer.startswith("{")
    ]
    return Platform.model_validate(
        {
            "name": "detect",
            "title": "a device of unknown platform",
            "session": {"prompt": _ANY_PROMPT, "pager_prompt": _ANY_PAGER, "questions": questions},
            "artifacts": [{"commands": commands[:1]}],
            "facts": [{"command": command} for command in commands],
            "complete": {"read_twice": True},
        }
    )


def detect(open_session: Callable[[Platform], AbstractContextManager[Session]], platforms: Platforms) -> Detection:
    """Logs in and looks. Raises a :class:`~devicevault.errors.CollectionError` where there is no session."""
    # Some ask for name and password behind SSH once more.
    with open_session(asking_for_login(probing(platforms))) as session:
        found = Detection(session.banner, session.prompt)
        candidates = [page for page in platforms if page.kind == "cli" and _fits(page, session.prompt)]
        answers: dict[str, str] = {}
        while len(answers) < QUESTIONS_MAX and (
            command := _next_question(_speaking(candidates, answers), found.guesses, answers)
            # Its errors may be worded as others' are.
            or (not found.guesses and _next_question(candidates, (), answers))
        ):
            answers[command] = session.ask(command)
            found.asked.append(command)
            found.guesses = _ranked(candidates, f"{session.banner}\n{session.greeting}", answers)
        # A page that has nothing to ask may know the greeting.
        found.guesses = found.guesses or _ranked(candidates, f"{session.banner}\n{session.greeting}", answers)
        return found


def _fits(page: Platform, prompt: str) -> bool:
    forms = [prompt, prompt + " "]
    return any(page.session.prompt.fullmatch(form) for form in forms)


def _speaking(candidates: Sequence[Platform], answers: dict[str, str]) -> list[Platform]:
    """The pages that know how this device says that it does not know a command, so that others' need not be asked."""
    known = Counter(page.name for page in candidates for answer in answers.values() if rejection(page, answer))
    most = max(known.values(), default=0)
    # One may be an answer that is an error to others' eyes.
    return [page for page in candidates if known[page.name] >= most - 1]


def _next_question(candidates: Iterable[Platform], guesses: Sequence[Guess], asked: Collection[str]) -> str:
    """What most candidates ask first; once there are guesses, only what can tell the best of them apart."""
    best = {guess.platform for guess in guesses if guess.weight == guesses[0].weight}
    if len(best) == 1 and guesses[0].recognised:
        return ""
    first: dict[str, int] = {}
    count: Counter[str] = Counter()
    for page in candidates:
        if not best or page.name in best:
            for position, command in enumerate(fact.command for fact in page.facts if fact.command):
                first[command] = min(position, first.get(command, position))
                count[command] += 1
    waiting = [command for command in count if command not in asked]
    return min(waiting, key=lambda command: (first[command], -count[command], command), default="")


def _ranked(candidates: Iterable[Platform], shown: str, answers: dict[str, str]) -> list[Guess]:
    return sorted(_guesses(candidates, shown, answers), key=lambda guess: (-guess.weight, guess.platform))


def _guesses(candidates: Iterable[Platform], shown: str, answers: dict[str, str]) -> Iterator[Guess]:
    for page in candidates:
        asked = [(fact, answers[fact.command]) for fact in page.facts if fact.command in answers]
        facts: dict[str, str] = {}
        for fact, answer in asked:
            for name in _WEIGHTS:
                pattern = getattr(fact, name)
                if pattern and name not in facts and (match := pattern.search(answer)):
                    facts[name] = match[1].strip()
        everything = "\n".join([shown, *(answer for _, answer in asked)])
        recognised = bool(page.recognise and page.recognise.search(everything))
        weight = sum(_WEIGHTS[name] for name in facts) + _RECOGNISED * recognised
        # A page that knows its own mark and does not see it is none.
        if weight and (recognised or page.recognise is None):
            yield Guess(page.name, weight, recognised, CollectFacts(**facts))
