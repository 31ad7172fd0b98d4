"""Bring the mirror up to the store, or make it anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Event
from typing import Final

from sqlalchemy import select

from devicevault.errors import ServiceUnavailable
from devicevault.outputs.mirror.message import Told, message
from devicevault.outputs.mirror.paths import ARCHIVE, media_type_of, path_for, path_key
from devicevault.outputs.mirror.plan import Batch, batches, ready
from devicevault.outputs.mirror.repository import AUTHOR, Commit, FileChange, Repository
from devicevault.outputs.progress import MIRROR, File, Place, note_progress, note_success, progress_of, state_of
from devicevault.outputs.revisions import Fleet, Names, NewRevision, look_at_fleet, new_revisions
from devicevault.settings import MirrorSettings
from devicevault.store import Store
from devicevault.store.models import DeviceConfig
from devicevault.store.texts import text_of

logger = logging.getLogger(__name__)

#: Seconds after which a run that is not done is looked at again.
_AGAIN_S: Final = 5.0


@dataclass(frozen=True)
class Mirrored:
    """What one turn did."""

    commits: int
    #: Whether something waits for the rest of its run.
    is_waiting: bool
    head: str


class Mirror:
    """The mirror that ``settings`` name."""

    name = MIRROR
    every_s = 60.0
    least_pause_s = 5.0

    def __init__(
        self, settings: MirrorSettings, stop: Event | None = None, committed: Callable[[], None] | None = None
    ) -> None:
        """``committed`` is told of every turn that made commits."""
        self.settings = settings
        self._stop = stop
        self._committed = committed or (lambda: None)

    def turn(self, store: Store) -> float | None:
        """Mirror what is new, and pack now and then. Raises DeviceVaultError."""
        if not self.settings.enabled:
            return None
        repository = self.repository()
        with repository.locked() as is_ours:
            if not is_ours:
                return _AGAIN_S  # somebody makes it anew at this moment
            done = self._bring_up(store, repository)
            if done.commits:
                self._committed()
                repository.tidy()
        return _AGAIN_S if done.is_waiting else None

    def repository(self) -> Repository:
        return Repository(self.settings.path, self.settings.branch, self._stop)

    def rebuild(self, store: Store) -> Mirrored:
        """Make it anew from the database, beside the old one, and put it in its place."""
        old = self.repository()
        with old.locked(wait=True):
            return self._rebuild(store, old)

    def _bring_up(self, store: Store, repository: Repository) -> Mirrored:
        with store.reading() as session:
            before, head = progress_of(session, MIRROR), state_of(session, MIRROR).head
            had_failed = bool(state_of(session, MIRROR).failures)
        if not head or not repository.is_there() or not repository.has(head):
            if head:
                logger.warning("mirror: %s does not hold what it should; it is made anew", repository.path)
            return self._rebuild(store, repository)
        work = _Work(store, before)
        commits, is_waiting = work.commits(self.settings.run_wait_s)
        if commits:
            head = repository.commit(head, commits)
        if commits or had_failed:
            with store.session() as session:
                note_progress(session, MIRROR, before, work.places)
                note_success(session, MIRROR, head)
        _tell(work.made)
        return Mirrored(len(work.made), is_waiting, head)

    def _rebuild(self, store: Store, old: Repository) -> Mirrored:
        old.check_place()
        new = old.beside()
        new.remove()
        new.make()
        work = _Work(store, {}, names_as_collected=True)
        commits, is_waiting = work.commits(self.settings.run_wait_s)
        # A mirror of nothing has a first commit too: what is later made stands upon it.
        head = new.commit("", [*([] if commits else [_beginning()]), *commits])
        old.remove()
        new.path.rename(old.path)
        with store.session() as session:
            note_progress(session, MIRROR, progress_of(session, MIRROR), work.places)
            note_success(session, MIRROR, head)
        logger.info("mirror: %s was made anew: %d commits", old.path, len(work.made))
        old.pack()  # whatever becomes of this: it is whole by now
        return Mirrored(len(work.made), is_waiting, head)


class _Work:
    """What is to be committed, and where every file is afterwards. Texts are read when git asks for them."""

    def __init__(self, store: Store, before: dict[File, Place], *, names_as_collected: bool = False) -> None:
        """``names_as_collected`` gives a device the name and group it had at each collection."""
        self.places = dict(before)
        self.made: list[str] = []
        self._store = store
        self._taken = {path_key(place.path): file for file, place in before.items()}
        self._as_collected = names_as_collected
        self._fleet = Fleet({}, {}, {})

    def commits(self, run_wait_s: float) -> tuple[list[Commit], bool]:
        """The commits in their order, and whether something waits for the rest of its run."""
        with self._store.reading() as session:
            self._fleet = look_at_fleet(session)
            found = batches(new_revisions(session, self._fleet, self.places))
            done, is_waiting = ready(session, found, datetime.now(UTC), run_wait_s)
        made = [self._commit(batch) for batch in done]
        made += self._moves()
        self.made = [commit.message.partition("\n")[0] for commit in made]
        return made, is_waiting

    def _commit(self, batch: Batch) -> Commit:
        changes: list[tuple[FileChange, NewRevision | None]] = []
        told: list[Told] = []
        moved: dict[int, Names] = {}
        for row in sorted(batch.revisions, key=lambda row: (row.device_name, row.id)):
            names = self._fleet.names[row.device_pk]
            if self._as_collected:
                names = replace(names, group=row.group, name=row.device_name, is_archived=False)
            old = self.places[row.file].path if row.file in self.places else ""
            path = self._place(row.file, names, row.media_type, row.number)
            if old and old != path:
                moved[row.device_pk] = names
            changes.append((FileChange(path, old=old), row))
            told.append(
                Told(
                    row.device_pk,
                    _plain(names.name),
                    path,
                    row.reason,
                    number=row.number,
                    added=row.added,
                    removed=row.removed,
                    moved_from=old if old and old != path else "",
                    changed_by=_plain(row.author),
                )
            )
        along = self._moved(moved)
        changes += ((change, None) for change, _ in along)
        told += (one for _, one in along)
        authors = {one.changed_by for one in told}
        return Commit(
            message(_plain(batch.group), told, _plain(batch.run_id)),
            made_at=max(row.collected_at for row in batch.revisions),
            author=authors.pop() or AUTHOR if len(authors) == 1 else AUTHOR,
            files=_Texts(self._store, changes),
        )

    def _moved(self, names_of: Mapping[int, Names]) -> list[tuple[FileChange, Told]]:
        """What else there is of these devices, with their new names."""
        found = []
        for file, place in sorted(self.places.items()) if names_of else ():
            names = names_of.get(file[0])
            path = self._place(file, names, media_type_of(place.path), place.number) if names else place.path
            if names and path != place.path:
                told = Told(file[0], _plain(names.name), path, "moved", moved_from=place.path)
                found.append((FileChange(path, old=place.path), told))
        return found

    def _moves(self) -> Iterator[Commit]:
        """Files whose device has another name or group by now, or is gone from the database."""
        moved: dict[str, list[tuple[FileChange, Told]]] = {}
        for file, place in sorted(self.places.items(), key=lambda item: item[1].path):
            names = self._fleet.names.get(file[0])
            old_group, _, old_name = place.path.partition("/")
            if names is None:
                self._taken.pop(path_key(place.path), None)
                del self.places[file]
                change = FileChange(place.path), Told(file[0], old_name, place.path, "removed")
            else:
                path = self._place(file, names, media_type_of(place.path), place.number)
                if path == place.path:
                    continue
                kind = "archived" if path.startswith(ARCHIVE) and not place.path.startswith(ARCHIVE) else "moved"
                change = (
                    FileChange(path, old=place.path),
                    Told(file[0], _plain(names.name), path, kind, moved_from=place.path),
                )
            moved.setdefault(old_group, []).append(change)
        for group, changes in moved.items():
            text = message(group, [told for _, told in changes], "")
            yield Commit(text, datetime.now(UTC), AUTHOR, [change for change, _ in changes])

    def _place(self, file: File, names: Names, media_type: str, number: int) -> str:
        """Where the file stands from now on."""
        device_pk, artifact = file
        current = self.places[file].path if file in self.places else ""
        path = path_for(
            names.group,
            names.name,
            names.device_id,
            artifact,
            media_type,
            is_main=artifact == self._fleet.main_artifacts.get(device_pk),
            current=current,
            is_taken=lambda path: self._taken.get(path_key(path), file) != file,
            is_archived=names.is_archived,
        )
        if current and current != path:
            self._taken.pop(path_key(current), None)
        self._taken[path_key(path)] = file
        self.places[file] = Place(number, path)
        return path


class _Texts:
    """The files of one commit, each text read from the store when it is its turn."""

    def __init__(self, store: Store, changes: Sequence[tuple[FileChange, NewRevision | None]]) -> None:
        self._store = store
        self._changes = changes

    def __iter__(self) -> Iterator[FileChange]:
        for change, row in self._changes:
            if row is None:
                yield change
                continue
            with self._store.reading() as session:
                config = session.scalars(select(DeviceConfig).where(DeviceConfig.id == row.config_id)).one_or_none()
            if config is None:
                raise ServiceUnavailable(f"the text of revision {row.number} of {row.device_name} is gone meanwhile")
            yield replace(change, text=text_of(config).encode())


def _beginning() -> Commit:
    return Commit("The mirror begins here\n", datetime.now(UTC), AUTHOR, ())


def _plain(text: str) -> str:
    """On one line, whatever it holds."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _tell(subjects: Iterable[str]) -> None:
    for subject in subjects:
        logger.info("mirror: %s", subject)
