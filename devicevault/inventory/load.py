"""From the inventory's file to its devices, or to every fault in it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace

from devicevault import names
from devicevault.errors import ConfigurationError, Fault, InventoryUnavailable
from devicevault.inventory.address import checked_address
from devicevault.inventory.columns import read_columns
from devicevault.inventory.device import Device
from devicevault.inventory.draft import Draft
from devicevault.inventory.entry import checked_name
from devicevault.inventory.inventory import Inventory
from devicevault.inventory.source_state import SourceState
from devicevault.inventory.sourced import SourcedDrafts
from devicevault.inventory.tables import Tables, read_tables
from devicevault.inventory.unfit import Unfit
from devicevault.settings import Settings
from devicevault.wording import counted

logger = logging.getLogger(__name__)

#: The credential of a device that names none, and whose group and defaults name none.
DEFAULT_CREDENTIAL = "default"


def load_inventory(
    settings: Settings,
    platforms: Collection[str],
    credentials: Collection[str] | None = None,
    *,
    fresh: bool = False,
    accept: Collection[str] = (),
) -> Inventory:
    """The devices of ``settings.inventory.path`` and of its sources, checked against the platforms and credentials.

    ``credentials`` is ``None`` where they are not known, as on a host without a worker. With ``fresh``, sources are
    asked even where they were just now; the answers of those in ``accept`` are taken however small they are. Raises
    :class:`ConfigurationError` with every fault of the file, and :class:`InventoryUnavailable` when a source that
    was never read gives no answer.
    """
    path = settings.inventory.path
    if is_columns(settings):
        drafts, faults = read_columns(path, settings.inventory, platforms, credentials, settings.jumps)
        tables = None
    else:
        tables = read_tables(path, platforms, credentials, settings.groups, settings.jumps)
        drafts, faults = tables.drafts, tables.faults
    faults += _faults_between(drafts, settings, credentials)
    if faults:
        raise ConfigurationError(sorted(faults, key=lambda fault: fault.line or 0))
    states: list[SourceState] = []
    if tables is not None and tables.sources:
        drafts, states = _with_sources(tables, settings, credentials, fresh=fresh, accept=accept)
    return Inventory(path, (device_of(draft, settings) for draft in drafts), states)


def _with_sources(
    tables: Tables,
    settings: Settings,
    credentials: Collection[str] | None,
    *,
    fresh: bool,
    accept: Collection[str],
) -> tuple[list[Draft], list[SourceState]]:
    """The file's own devices and those of its sources, and how these stand."""
    from devicevault.inventory.sources import gather, keep

    folder = settings.inventory.kept_dir
    answers = gather(tables.sources, folder, fresh=fresh, accept=accept)
    missing = [answer for answer in answers if not answer.answered_at]
    if missing:
        raise InventoryUnavailable(Fault(answer.label, answer.told, answer.fix) for answer in missing)
    sourced = SourcedDrafts(
        tables.defaults, tables.groups, tables.known, lambda draft: _faults_alone(draft, settings, credentials)
    )
    sourced.take_own(tables.drafts, str(settings.inventory.path))
    states = []
    for answer in answers:
        state = sourced.take(answer)
        unkept = keep(answer, folder, sourced.held.get(answer.source.name, {}))
        states.append(replace(state, unkept=unkept))
        if answer.is_new and state.faults and not fresh:
            faults = counted(len(state.faults), "fault")
            logger.warning("inventory: %s in what a source says, such as %s", faults, state.faults[0])
    return sourced.drafts, states


def is_columns(settings: Settings) -> bool:
    if settings.inventory.format == "auto":
        return settings.inventory.path.suffix.lower() != ".toml"
    return settings.inventory.format == "csv"


def _faults_between(drafts: list[Draft], settings: Settings, credentials: Collection[str] | None) -> Iterator[Fault]:
    by_id: dict[str, str] = {}
    for draft in drafts:
        yield from _faults_alone(draft, settings, credentials)
        device_id = draft.values.get("id") or draft.name
        other = by_id.setdefault(device_id, draft.name)
        if other != draft.name:
            problem = f"{device_id!r} is already what device {other!r} is known by"
            yield draft.fault_at("id", problem, "each device needs an id of its own")


def _faults_alone(draft: Draft, settings: Settings, credentials: Collection[str] | None) -> Iterator[Fault]:
    """What is wrong with a device only once everything it inherits is known."""
    values, fault_at = draft.values, draft.fault_at
    try:
        checked_name(draft.name)
    except Unfit as unfit:
        yield fault_at("", unfit.problem, unfit.fix)
    else:
        if "address" not in values and not _is_address(draft.name):
            yield fault_at("address", "the device has no address, and its name can't be one", "add its address")
    if "platform" not in values:
        yield fault_at("platform", "the device has no platform", "name one; see: devicevault platforms list")
    if credentials is not None and "credential" not in values:
        fallback = _fallback_credential(values.get("group"), settings)
        if fallback not in credentials:
            problem = f"the device names no credential, and there is none called {fallback!r}"
            yield fault_at("credential", problem, f"name one, or add [credentials.{fallback}] to credentials.toml")
    if values.get("deadline_s") is not None:
        yield from _deadline_faults(draft, settings)
    if values.get("console") and values.get("transport") == "telnet":
        yield fault_at("console", "a console server over telnet asks for no login of its own", "leave console out")
    # None: there is one, and what is wrong with it is told already.
    if values.get("console_line") and values.get("console", "") == "":
        yield fault_at("console_line", "there is no console server", "add console: the credential it takes")


def _deadline_faults(draft: Draft, settings: Settings) -> Iterator[Fault]:
    """A device's own deadline is a link in the chain of times that the settings are checked for."""
    deadline_s = draft.values["deadline_s"]
    group = settings.for_group(draft.values.get("group") or names.DEFAULT_GROUP)
    ssh = group.ssh.model_copy(update={"deadline_s": deadline_s})
    if ssh.connect_timeout_s >= deadline_s:
        problem = f"a session must outlast its connection, which may take {ssh.connect_timeout_s:g} s"
        yield draft.fault_at("deadline_s", problem, "raise it")
    if ssh.lock_horizon_s >= group.acknowledgement_limit_s:
        problem = f"the broker takes a task for lost after {group.acknowledgement_limit_s:g} s"
        yield draft.fault_at("deadline_s", problem, "lower it")


def _is_address(name: str) -> bool:
    try:
        checked_address(name)
    except Unfit:
        return False
    return True


def _fallback_credential(group: str | None, settings: Settings) -> str:
    of_group = settings.groups.get(group or names.DEFAULT_GROUP)
    return (of_group.credential if of_group else "") or DEFAULT_CREDENTIAL


def device_of(draft: Draft, settings: Settings) -> Device:
    values = draft.values
    group = values.get("group", names.DEFAULT_GROUP)
    return Device(
        name=draft.name,
        device_id=values.get("id", draft.name),
        address=values.get("address", draft.name),
        platform=values["platform"],
        port=values.get("port", 23 if values.get("transport") == "telnet" else 22),
        group=group,
        credentials=tuple(values.get("credential") or (_fallback_credential(group, settings),)),
        enabled=values.get("enabled", True),
        tags=tuple(values.get("tags", ())),
        options=values.get("options", {}),
        algorithms=values.get("algorithms"),
        deadline_s=values.get("deadline_s"),
        jump=tuple(way) if (way := values.get("jump")) is not None else None,
        transport=values.get("transport", "ssh"),
        console=values.get("console", ""),
        console_line=values.get("console_line", ""),
        source=draft.source,
    )
