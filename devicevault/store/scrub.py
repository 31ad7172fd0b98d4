"""Take a secret that no rule had hidden out of everything the database holds.

Every text of every table is looked through, whatever it is for. The texts of configurations get new digests, under
which the readings to come find them again once a rule hides the secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import JSON, Column, Table, Text, cast, delete, select, text, update
from sqlalchemy.orm import Session

from devicevault.compression import compress, decompress
from devicevault.leak import Leak
from devicevault.messages import digest_of
from devicevault.store import output_models
from devicevault.store.engine import Store, translated
from devicevault.store.models import Base, Device, DeviceBackupResult, DeviceConfig, DeviceRevision, HeldArtifact
from devicevault.store.rows import chunks

#: Tables of other modules that are looked through as well: named here so that they are known.
OUTPUTS: Final = output_models.__name__
#: Columns that hold names: of devices, groups, people, states. A short secret may be a part of one by chance.
NAMES: Final = frozenset(
    {
        "name",
        "device_name",
        "group",
        "platform",
        "worker",
        "artifact",
        "main_artifact",
        "status",
        "kind",
        "asked_by",
        "media_type",
        "path",
    }
)
AT_ONCE: Final = 200
ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Scrubbed:
    """What held the secret, or would have it taken out."""

    #: Distinct texts, and the devices that had or have them.
    configs: int
    devices: tuple[str, ...]
    #: Of those devices: as their inventory names them.
    platforms: tuple[str, ...]
    #: Other values: messages, logs, notices.
    others: int

    @property
    def found_anything(self) -> bool:
        return bool(self.configs or self.others)


def holding(store: Store, leak: Leak) -> Scrubbed:
    """Where the secret is, without a change."""
    with store.reading() as session:
        configs = _configs_with(session, leak)
        return _described(session, configs, sum(1 for _ in _other_values(session, leak)))


def scrub(store: Store, leak: Leak, placeholder: str) -> Scrubbed:
    """Put ``placeholder`` in the secret's place everywhere, all of it or nothing, and leave no trace in the file.

    Raises :class:`~devicevault.errors.ServiceUnavailable`.
    """
    with store.session() as session:
        if store.engine.dialect.name == "sqlite":
            session.execute(text("PRAGMA secure_delete = ON"))
        clean_text = partial(leak.hidden, placeholder=placeholder)
        configs = _configs_with(session, leak)
        others = list(_other_values(session, leak))
        done = _described(session, configs, len(others))
        for table, key, column, value in others:
            clean = _replaced(value, clean_text)
            session.execute(update(table).where(*_is(table, key)).values({column.name: clean}))
        _rewrite(session, configs, clean_text)
    _compact(store)  # also where nothing was found: an earlier call may have come to this point only
    return done


def _configs_with(session: Session, leak: Leak) -> list[int]:
    ids = list(session.scalars(select(DeviceConfig.id).order_by(DeviceConfig.id)))
    found: list[int] = []
    for some in chunks(ids, AT_ONCE):
        query = select(DeviceConfig.id, DeviceConfig.compressed).where(DeviceConfig.id.in_(some))
        found += [
            config_id for config_id, compressed in session.execute(query) if leak.is_in(decompress(compressed).decode())
        ]
    return found


def _described(session: Session, configs: Sequence[int], others: int) -> Scrubbed:
    devices: dict[str, str] = {}
    for some in chunks(configs, AT_ONCE):
        for table in (DeviceRevision, HeldArtifact):
            query = (
                select(Device.name, Device.platform)
                .join(table, table.device_pk == Device.id)
                .where(table.config_id.in_(some))
            )
            devices.update(dict(session.execute(query).all()))
    return Scrubbed(len(configs), tuple(sorted(devices)), tuple(sorted(set(devices.values()))), others)


def _rewrite(session: Session, configs: Sequence[int], clean: Callable[[str], str]) -> None:
    digests: dict[str, str] = {}
    for config_id in configs:
        config = session.get_one(DeviceConfig, config_id)
        raw = clean(decompress(config.compressed).decode()).encode()
        digest = digest_of(raw)
        digests[config.digest] = digest
        same = session.scalars(select(DeviceConfig).where(DeviceConfig.digest == digest)).first()
        if same is None:
            config.digest, config.size, config.compressed = digest, len(raw), compress(raw)
            session.flush()
            continue
        for table in (DeviceRevision, HeldArtifact):
            session.execute(update(table).where(table.config_id == config_id).values(config_id=same.id))
        session.expunge(config)
        session.execute(delete(DeviceConfig).where(DeviceConfig.id == config_id))
    _rename_digests(session, digests)


def _rename_digests(session: Session, digests: dict[str, str]) -> None:
    """Results tell the digests of what they brought: of a known text, a digest lets a short secret be guessed."""
    for old, new in digests.items():
        query = select(DeviceBackupResult).where(cast(DeviceBackupResult.artifacts, Text).contains(old))
        for row in session.scalars(query):
            row.artifacts = [
                {**artifact, "digest": new} if artifact.get("digest") == old else artifact for artifact in row.artifacts
            ]


def _other_values(session: Session, leak: Leak) -> Iterator[tuple[Table, tuple[Any, ...], Column[Any], Any]]:
    """Table, primary key, column and value of whatever else holds the secret."""
    for table in Base.metadata.sorted_tables:
        keys = tuple(table.primary_key.columns)
        for column in table.columns:
            is_name = column.primary_key or column.unique or column.foreign_keys or column.name in NAMES
            if is_name or not isinstance(column.type, Text | JSON):
                continue
            query = select(*keys, column).execution_options(yield_per=ROWS_AT_ONCE)
            for *key, value in session.execute(query):
                if _replaced(value, partial(leak.hidden, placeholder="")) != value:
                    yield table, tuple(key), column, value


def _replaced(value: Any, clean: Callable[[str], str]) -> Any:
    """The same value, each text in it made clean; a list of texts may be the lines of one."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        if value and all(isinstance(one, str) for one in value):
            lines = "\n".join(value)
            return value if (hidden := clean(lines)) == lines else hidden.split("\n")
        return [_replaced(one, clean) for one in value]
    if isinstance(value, dict):
        return {name: _replaced(one, clean) for name, one in value.items()}
    return value


def _is(table: Table, key: Sequence[Any]) -> list[Any]:
    return [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]


def _compact(store: Store) -> None:
    """Rewrite the files, so that what was replaced is not left in a part of them that is free."""
    with translated(store.engine.url):
        if store.engine.dialect.name == "sqlite":
            with closing(store.engine.raw_connection()) as connection:
                cursor = connection.cursor()
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in Base.metadata.sorted_tables:
                connection.execute(text(f'VACUUM FULL "{table.name}"'))
