"""The plugin ``sftp``: files over SFTP. With ``*`` in its last part, a path asks for the newest such file."""

from __future__ import annotations

import fnmatch
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import paramiko

from devicevault.errors import CommandRefused, CommandRejected, OutputTruncated, UnreachableForGood
from devicevault.plugins.protocol import Device, Fetched, Read
from devicevault.plugins.told import Told, complaints

CHUNK_BYTES: Final = 32768
#: Requests for pieces of a file that wait for their answer at one time.
AHEAD: Final = 32


class Sftp:
    """Reads files, and asks for nothing else."""

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> Iterator[str]:
        yield from complaints(Told, settings)
        for ask in asks:
            if "*" in posixpath.dirname(ask):
                yield f"{ask!r}: only the last part of a path may have a *"

    @contextmanager
    def open(self, device: Device) -> Iterator[Read]:
        client = device.ssh()
        device.doing(f"opening SFTP on {device.name}")
        try:
            sftp = client.open_sftp()
        except paramiko.SSHException:
            device.doing("opening SFTP")
            raise UnreachableForGood(
                f"{device.name} lets us in and has no SFTP",
                "turn it on, or use a page that reads over scp or a command line",
            ) from None
        yield lambda ask: _fetch(device, sftp, ask)


def _fetch(device: Device, sftp: paramiko.SFTPClient, ask: str) -> Fetched:
    try:
        path = _newest(device, sftp, ask) if "*" in ask else ask
        return _read(device, sftp, path)
    except FileNotFoundError:
        fix = "see whether the device makes such files, and check the path" if "*" in ask else "check the path"
        raise CommandRejected(f"{device.name} has no file {ask}", fix) from None
    except PermissionError:
        raise CommandRefused(f"{device.name} does not let us read {ask}", "give the login the right to") from None
    except OSError as error:
        if sftp.get_channel().closed:
            raise
        raise CommandRejected(f"{device.name} does not give {ask}: {error}", "check the path") from None


def _newest(device: Device, sftp: paramiko.SFTPClient, pattern: str) -> str:
    """Raises :class:`FileNotFoundError`."""
    folder, name = posixpath.split(pattern)
    device.doing(f"listing {folder}")
    files = [
        entry
        for entry in sftp.listdir_attr(folder or ".")
        if fnmatch.fnmatchcase(entry.filename, name) and stat.S_ISREG(entry.st_mode or stat.S_IFREG)
    ]
    if not files:
        raise FileNotFoundError(pattern)
    newest = max(files, key=lambda entry: (entry.st_mtime or 0, entry.filename))
    path = posixpath.join(folder, newest.filename)
    device.note(f"The newest of {len(files)} files {pattern} is {newest.filename}")
    return path


def _read(device: Device, sftp: paramiko.SFTPClient, path: str) -> Fetched:
    """The whole file; the size told before and after proves it. Raises :class:`OutputTruncated`."""
    content = bytearray()
    device.doing(f"opening {path}")
    with sftp.open(path, "rb") as file:
        before = file.stat()
        device.check_size(before.st_size or 0)
        if before.st_size:
            file.prefetch(before.st_size, AHEAD)
        while piece := file.read(CHUNK_BYTES):
            content += piece
            device.check_size(len(content))
            device.doing(f"reading {path}, {len(content)} bytes so far")
    after = sftp.stat(path)
    if before.st_size is None or after.st_size is None:
        return Fetched(bytes(content))
    if not len(content) == before.st_size == after.st_size or before.st_mtime != after.st_mtime:
        raise OutputTruncated(
            f"{path} gave {len(content)} bytes; it had {before.st_size} before and {after.st_size} after: it was being "
            "written, or the transfer was cut",
            "try again",
        )
    return Fetched(bytes(content), f"{len(content)} bytes, as the file has before and after")
