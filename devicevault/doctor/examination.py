"""The order in which the chain is walked."""

from __future__ import annotations

from collections.abc import Iterator

from devicevault.doctor import broker, database, files, outputs, plugins, results, units, workers
from devicevault.doctor.finding import Finding
from devicevault.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything a collection passes, from the inventory to the database; each finding as it comes."""
    yield from files.look_at_platforms(settings)
    yield from files.look_at_credentials(settings)
    inventory = yield from files.look_at_inventory(settings)
    yield from plugins.look(settings, inventory)
    yield from files.look_at_keys(settings)
    answering = yield from broker.look(settings, inventory)
    yield from results.look(settings)
    yield from workers.look(settings, inventory, answering)
    yield from database.look(settings)
    yield from outputs.look(settings)
    yield from units.look(inventory)
