"""Everything one transaction knows and writes: few statements, however many results it is about.

One result after the other changes what is known in memory; :meth:`Batch.write` then writes each table once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from devicevault.store.known import KnownDevice, KnownRevision, KnownRow, lock_devices, lock_rows
from devicevault.store.models import Device, DeviceBackupResult, DeviceRevision, HeldArtifact, SealedOriginal
from devicevault.store.rows import by_index, chunks, insert_or_replace, table_of, update_rows
from devicevault.store.texts import Texts

#: Nobody else needs to know it: asked for where a revision's original is written.
_REVISION_ID: Final = (
    select(DeviceRevision.id)
    .where(
        DeviceRevision.device_pk == bindparam("of_device"),
        DeviceRevision.artifact == bindparam("of_artifact"),
        DeviceRevision.number == bindparam("of_number"),
    )
    .scalar_subquery()
)


class Batch:
    """Devices and rows, locked until the transaction ends; devices first, as everybody does."""

    def __init__(self, session: Session) -> None:
        by_index(session)
        self.devices: dict[str, KnownDevice] = {}
        self.rows: dict[str, KnownRow] = {}
        self.texts = Texts(session)
        self._session = session
        self._revisions: dict[tuple[int, str, int], KnownRevision] = {}

    def lock_devices(self, device_ids: Iterable[str]) -> None:
        """Know these devices, by ``device_id``."""
        self.devices = lock_devices(self._session, device_ids)

    def lock_rows(self, task_ids: Iterable[str]) -> None:
        """Know the rows of these tasks, by ``task_id``."""
        self.rows = lock_rows(self._session, task_ids)

    def touch(self, revision: KnownRevision) -> None:
        """Let :meth:`write` write this revision, new or known, as it is by then."""
        self._revisions[revision.key] = revision

    def write(self) -> None:
        """Write whatever is not as it was."""
        self.texts.write()
        self._write_revisions()
        self._write_held()
        rows = [{"id": row.id, **row.values} for row in self.rows.values() if row.values]
        update_rows(self._session, DeviceBackupResult, rows)
        update_rows(self._session, Device, [_device(one) for one in self.devices.values() if one.is_touched])

    def _write_revisions(self) -> None:
        new = [one for one in self._revisions.values() if one.id is None]
        known = [{"id": one.id, **_confirmed(one)} for one in self._revisions.values() if one.id is not None]
        update_rows(self._session, DeviceRevision, known)
        if new:
            rows = [{**one.new, **_confirmed(one), **self._named(one)} for one in new]
            self._session.connection().execute(insert(table_of(DeviceRevision)), rows)
        originals = [_original(one) for one in self._revisions.values() if one.original and one.original.sealed]
        insert_or_replace(self._session, SealedOriginal, originals, "revision_id", revision_id=_REVISION_ID)

    def _named(self, revision: KnownRevision) -> dict[str, Any]:
        return {
            "device_pk": revision.device_pk,
            "artifact": revision.artifact,
            "number": revision.number,
            "config_id": self.texts.ids[revision.digest],
        }

    def _write_held(self) -> None:
        table = table_of(HeldArtifact)
        for some in chunks([pk for device in self.devices.values() for pk in device.released]):
            self._session.connection().execute(delete(table).where(table.c.id.in_(some)))
        held = [
            {**one.new, "device_pk": device.id, "config_id": self.texts.ids[one.digest]}
            for device in self.devices.values()
            for one in device.held
            if one.id is None
        ]
        if held:
            self._session.connection().execute(insert(table), held)


def _device(device: KnownDevice) -> dict[str, Any]:
    return {
        "id": device.id,
        "host_key": device.host_key,
        "host_key_seen_at": device.host_key_seen_at,
        "main_artifact": device.main_artifact,
        "latest_result_id": device.latest_result_id,
        "last_success_id": device.last_success_id,
    }


def _confirmed(revision: KnownRevision) -> dict[str, Any]:
    return {
        "confirmed_at": revision.confirmed_at,
        "original_digest": revision.original_digest,
        "rules_digest": revision.rules_digest,
    }


def _original(revision: KnownRevision) -> dict[str, Any]:
    original = revision.original
    assert original is not None  # noqa: S101 - chosen so
    return {
        "of_device": revision.device_pk,
        "of_artifact": revision.artifact,
        "of_number": revision.number,
        "key_id": original.key_id,
        "original_digest": original.original_digest,
        "sealed": original.sealed,
        "collected_at": original.collected_at,
    }
