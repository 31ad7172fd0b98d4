"""The file of a backup: a compressed tar archive that begins with a list of what is in it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

import devicevault
from devicevault.errors import UsageError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
DATABASE: Final = "database.sqlite"
SETTINGS: Final = "settings.json"
SECRETS: Final = "secrets.encrypted"
#: Bytes of anything but the database.
SMALL_MAX_BYTES: Final = 100_000_000
#: Texts in the database are compressed already; what is left to gain is in the rows.
LEVEL: Final = 3


class Manifest(BaseModel):
    """What a backup tells of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int
    release: str
    created_at: AwareDatetime
    host: str
    #: The database's schema.
    schema_version: str
    devices: int
    revisions: int
    #: ``sha256`` of each part, by its name in the archive.
    parts: dict[str, str]

    @property
    def has_secrets(self) -> bool:
        return SECRETS in self.parts


def write(path: Path, database: Path, small: Mapping[str, bytes], about: Mapping[str, str | int]) -> Manifest:
    """Write a backup to ``path``, for its owner alone, in place of an older backup of that name.

    ``small`` are its other parts; ``about`` is what the manifest tells besides. Raises :class:`UsageError` where
    another kind of file has the name, and :class:`OSError`.
    """
    if os.path.lexists(path):
        Archive(path).close()  # or it says that it is no backup
    parts = {DATABASE: _digest_of(database)} | {name: hashlib.sha256(part).hexdigest() for name, part in small.items()}
    manifest = Manifest.model_validate(
        {"format": FORMAT, "release": devicevault.__version__, "created_at": datetime.now(UTC), "parts": parts, **about}
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=LEVEL) as archive:
                _add(archive, MANIFEST, manifest.model_dump_json(indent=2).encode() + b"\n")
                for name, part in small.items():
                    _add(archive, name, part)
                with database.open("rb") as source:
                    entry = tarfile.TarInfo(DATABASE)
                    entry.size = database.stat().st_size
                    archive.addfile(entry, source)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return manifest


class Archive:
    """A backup that is read. Every part is checked against the manifest."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`UsageError` for a file that is no backup, or one of a later release."""
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        try:
            self._archive = tarfile.open(fileobj=self._file, mode="r:gz")  # noqa: SIM115 - closed by `close`
            first = self._archive.next()
            if first is None or first.name != MANIFEST:
                raise ValueError("another kind of archive")
            self.manifest = Manifest.model_validate_json(self._read(first))
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, ValidationError):
            self._file.close()
            raise UsageError(f"{path} is no backup of a vault", "name a file that `devicevault backup` wrote") from None
        if self.manifest.format != FORMAT:
            self._file.close()
            raise UsageError(f"{path} is of a later release of DeviceVault", "restore it with that release")

    def small(self, name: str) -> bytes:
        """A part that fits the memory. Raises :class:`UsageError` when it is missing or damaged."""
        content = self._read(self._member(name))
        if hashlib.sha256(content).hexdigest() != self.manifest.parts.get(name):
            raise self._damaged(name)
        return content

    def files(self, name: str) -> dict[str, str]:
        """The files in a part of texts, by what they are for. Raises :class:`UsageError`."""
        return files_in(self.small(name), f"{self._path}: {name}")

    def save_database(self, path: Path) -> None:
        """Write the database to a new file. Raises :class:`UsageError` when it is damaged, and :class:`OSError`."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            try:
                shutil.copyfileobj(self._stream(self._member(DATABASE)), file)
            except (tarfile.TarError, EOFError, zlib.error):
                raise self._damaged(DATABASE) from None
        if _digest_of(path) != self.manifest.parts.get(DATABASE):
            raise self._damaged(DATABASE)

    def close(self) -> None:
        self._archive.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _member(self, name: str) -> tarfile.TarInfo:
        try:
            return self._archive.getmember(name)
        except (KeyError, tarfile.TarError, EOFError, OSError, zlib.error):
            raise self._damaged(name) from None

    def _read(self, member: tarfile.TarInfo) -> bytes:
        if not member.isfile() or member.size > SMALL_MAX_BYTES:
            raise self._damaged(member.name)
        try:
            return self._stream(member).read()
        except (tarfile.TarError, EOFError, OSError, zlib.error):
            raise self._damaged(member.name) from None

    def _stream(self, member: tarfile.TarInfo) -> IO[bytes]:
        stream = self._archive.extractfile(member)
        if stream is None:
            raise self._damaged(member.name)
        return stream

    def _damaged(self, name: str) -> UsageError:
        return UsageError(
            f"{self._path} is damaged: its {name} is missing or not what was written", "take another backup"
        )


def packed_files(files: Mapping[str, str]) -> bytes:
    """A part of texts."""
    return json.dumps(files, ensure_ascii=False).encode()


def files_in(content: bytes, where: str) -> dict[str, str]:
    """The texts in such a part. Raises :class:`UsageError`."""
    try:
        files = json.loads(content)
        if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
            raise ValueError("no texts")
    except ValueError:
        raise UsageError(f"{where} is damaged", "take another backup") from None
    return files


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
