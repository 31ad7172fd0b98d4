"""Which platform a device is of: told from what it shows, with no more questions than needed."""

from __future__ import annotations

from collections.abc import Callable

from devicevault.collector.detect import Detection, detect
from devicevault.collector.played import PlayedLine
from devicevault.collector.session import Session
from devicevault.collector.steps import Steps
from devicevault.credentials import Credential
from devicevault.platforms import Platforms
from devicevault.platforms.page import Platform
from devicevault.platforms.player import PlayedSession, Player
from devicevault.platforms.recording import Recording
from tests.collecting import a_request


def page(name: str, *commands: str, **fields: object) -> Platform:
    return Platform.model_validate(
        {
            "name": name,
            "title": name,
            "session": {"prompt": r"\w+# ?"},
            "artifacts": [{"commands": ["show config"]}],
            "facts": [{"command": command, "version": rf"^{name} version (\S+)"} for command in commands],
            "complete": {"ends_with": r"^end\Z"},
            **fields,
        }
    )


def detected(*pages: Platform, prompt: str = "r1#", **answers: str) -> tuple[Detection, list[str]]:
    recording = Recording.model_validate(
        {
            "prompt": prompt,
            "banner": "SSH-2.0-Example",
            "greeting": "Welcome to r1\n",
            "answers": {"show config": "end\n", **{key.replace("_", " "): text for key, text in answers.items()}},
        }
    )
    player = Player(recording, pages[0])
    open_session: Callable[[Platform], Session] = lambda probe: Session(  # noqa: E731
        PlayedLine(PlayedSession(player)), probe, Credential("lab", "backup"), Steps(a_request()), 1_000_000
    )
    return detect(open_session, Platforms({each.name: each for each in pages})), player.typed


def test_the_page_that_finds_most_is_proposed_first() -> None:
    rich = page("acme", "show version")
    rich = rich.model_copy(
        update={"facts": (rich.facts[0].model_copy(update={"serial": rich.facts[0].version}),)}  # finds two facts
    )
    found, typed = detected(page("other", "show version"), rich, show_version="acme version 1.2\n")
    assert [(guess.platform, guess.facts.version) for guess in found.guesses] == [("acme", "1.2")]
    assert found.is_certain
    assert (found.banner, found.prompt) == ("SSH-2.0-Example", "r1#")
    assert typed == ["show version", "exit"]


def test_what_only_one_platform_shows_decides() -> None:
    common = {"facts": [{"command": "show version", "version": r"version (\S+)"}]}
    plain, marked = page("plain", **common), page("marked", **common, recognise="^acme")
    found, _ = detected(plain, marked, show_version="acme version 1.2\n")
    assert [guess.platform for guess in found.guesses] == ["marked", "plain"]
    assert found.guesses[0].recognised
    found, _ = detected(plain, marked, show_version="other version 1.2\n")
    assert [guess.platform for guess in found.guesses] == ["plain"]


def test_banner_and_greeting_count_as_well() -> None:
    for mark in ("^SSH-2.0-Example", "^Welcome to r1"):
        found, _ = detected(page("acme", "show version", recognise=mark))
        assert [guess.platform for guess in found.guesses] == ["acme"]


def test_pages_that_fit_equally_are_all_proposed() -> None:
    common = {"facts": [{"command": "show version", "version": r"version (\S+)"}]}
    found, _ = detected(page("one", **common), page("two", **common), show_version="version 1\n")
    assert [guess.platform for guess in found.guesses] == ["one", "two"]
    assert not found.is_certain


def test_nothing_is_asked_where_no_page_knows_the_prompt() -> None:
    found, typed = detected(page("acme", "show version"), prompt="choose (1-4)", show_version="acme version 1\n")
    assert (found.guesses, found.asked, typed) == ([], [], ["exit"])


def test_a_device_whose_errors_are_worded_as_others_is_found_all_the_same() -> None:
    others = [page(name, f"show {name}", errors=["^% Invalid"]) for name in ("one", "two", "three")]
    acme = page("acme", "show zebra", errors=["^Unknown action"])
    found, typed = detected(*others, acme, show_zebra="acme version 1\n")
    assert [guess.platform for guess in found.guesses] == ["acme"]
    assert typed == ["show one", "show three", "show two", "show zebra", "exit"]


def test_the_commonest_question_is_asked_first_and_none_without_need() -> None:
    pages = [page("a", "display version"), page("b", "show version", "show hardware"), page("c", "show version")]
    found, _ = detected(*pages, show_version="c version 1\n")
    assert found.asked == ["show version"]
    found, _ = detected(*pages, display_version="a version 1\n")
    assert found.asked == ["show version", "display version"]
