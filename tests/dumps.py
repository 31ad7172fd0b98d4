"""Everything a service holds, raw: what somebody finds who gets at a server, its disk or its backup.

What is compressed is told as it was before, wherever zlib's or zstd's data begin: nothing hides from a search there.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import MetaData, create_engine, select

from devicevault.compression import beginning

BEGIN = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x28\xb5\x2f\xfd")


def told(raw: bytes) -> list[str]:
    """The bytes as text, and what is compressed in them."""
    found = [raw.decode("latin-1"), raw.decode(errors="replace")]
    # Bytes that only look like it tell nothing.
    found += [beginning(raw[begin.start() :], 10_000_000).decode(errors="replace") for begin in BEGIN.finditer(raw)]
    return found


def everything_in_redis(url: str) -> list[str]:
    """Every key with its value, of every type there is."""
    readers = {
        b"string": "get",
        b"hash": "hgetall",
        b"set": "smembers",
        b"list": ("lrange", 0, -1),
        b"zset": ("zrange", 0, -1),
        b"stream": ("xrange",),
    }
    found = []
    with Redis.from_url(url) as redis:
        for key in redis.keys("*"):
            kind: Any = redis.type(key)
            reader = readers[kind]
            name, *arguments = (reader,) if isinstance(reader, str) else reader
            found += [repr(key), *_flat(getattr(redis, str(name))(key, *arguments))]
    return found


def everything_in_database(url: str) -> list[str]:
    """Every value of every table there is, whoever made it."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    tables = MetaData()
    found: list[str] = []
    with engine.connect() as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            found.append(table.name)
            for row in connection.execute(select(table)):
                found += _flat(list(row))
    engine.dispose()
    return found


def everything_in_git(path: Path) -> list[str]:
    """Every object, whether a commit holds it still or not, and every file beside them in plain."""
    return [objects_in_git(path), *raw_files(path, {})]


def objects_in_git(path: Path) -> str:
    """Every object; may be asked while somebody writes."""
    command = ["git", "--git-dir", str(path), "cat-file", "--batch", "--batch-all-objects"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode(errors="replace")


def sizes(folder: Path) -> dict[Path, int]:
    """How large each file of a folder is."""
    return {file: file.stat().st_size for file in _files(folder)}


def raw_files(folder: Path, before: dict[Path, int]) -> list[str]:
    """What the files of a folder hold beyond their size of ``before``; a file of that very size may be another one."""
    found: list[str] = []
    for file in _files(folder):
        with file.open("rb") as opened:
            old = before.get(file, 0)
            opened.seek(old if file.stat().st_size > old else 0)
            found += told(opened.read())
    return found


def _files(folder: Path) -> Iterable[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _flat(value: Any) -> list[str]:
    match value:
        case bytes() | memoryview():
            return told(bytes(value))
        case dict():
            return [text for pair in value.items() for text in _flat(list(pair))]
        case list() | tuple() | set():
            return [text for one in value for text in _flat(one)]
    return [str(value)]
