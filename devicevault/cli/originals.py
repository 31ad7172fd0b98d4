"""Look for a text in what devices really sent: where is the leaked community?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from devicevault.cli.console import errors, say
from devicevault.cli.opening import tell_opening
from devicevault.collector.redact import PLACEHOLDER, Redaction
from devicevault.collector.seal import Opener
from devicevault.collector.text import decode
from devicevault.errors import DeviceVaultError
from devicevault.outputs.filenames import is_text
from devicevault.platforms import Platforms
from devicevault.store.originals import originals_of
from devicevault.store.search import Found

if TYPE_CHECKING:
    from devicevault.platforms.page import Platform
    from devicevault.settings import Settings
    from devicevault.store import Store
    from devicevault.store.matching import Matcher
    from devicevault.store.states import State

#: In the place of a line of what has none.
BINARY_MATCHES: Final = "the file holds it"


def search_originals(
    settings: Settings, store: Store, states: Sequence[State], matcher: Matcher, *, is_secret: bool
) -> list[Found]:
    """The lines of the originals of these revisions that match, with every secret in them hidden.

    ``is_secret``: what is looked for is one as well.
    Raises :class:`~devicevault.errors.ConfigurationError` where ``vault.key`` is not.
    """
    platforms = Platforms.load(settings.platforms_dir)
    opener = Opener.from_settings(settings)
    tell_opening(f"the originals of {len(states)} revisions, to look for a text in them")
    by_revision = {state.revision_id: state for state in states}
    lines: dict[int, list[tuple[int, str]]] = {}
    looked_at = damaged = 0
    for revision_id, key_id, sealed in originals_of(store, sorted(by_revision)):
        if not opener.can_open(key_id):
            damaged += 1
            continue
        state = by_revision[revision_id]
        try:
            text = decode(opener.open(sealed, key_id)).replace("\r", "")
        except DeviceVaultError as error:
            say(errors(), f"{state.device}: {error}", style="yellow")
            damaged += 1
            continue
        looked_at += 1
        if not is_text(state.media_type):
            lines[revision_id] = [(1, BINARY_MATCHES)] if matcher.pattern.search(text) else []
            continue
        page = platforms.pages.get(state.platform)
        matching = matcher.lines(text.encode("utf-8", "replace"))
        lines[revision_id] = [
            (number, _hidden(line, page, matcher if is_secret else None)) for number, line in matching
        ]
    _tell_what_was_not_looked_at(len(states) - looked_at - damaged, damaged)
    return [Found(state, lines[state.revision_id]) for state in states if lines.get(state.revision_id)]


def _hidden(line: str, page: Platform | None, secret: Matcher | None) -> str:
    """The line without any secret a rule knows, and without this one."""
    redaction = Redaction(line)
    if page is not None:
        redaction.hide(page.secrets)
    redaction.hide_anywhere()
    return secret.pattern.sub(PLACEHOLDER, redaction.text) if secret else redaction.text


def _tell_what_was_not_looked_at(missing: int, closed: int) -> None:
    if missing:
        say(errors(), f"{missing} of these revisions have no original any more", style="yellow")
    if closed:
        say(errors(), f"{closed} originals can't be opened here; see: devicevault keys show", style="yellow")
