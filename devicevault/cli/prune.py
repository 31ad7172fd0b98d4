"""``devicevault prune``: delete what is older than the settings keep it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from devicevault.cli import pass_settings
from devicevault.cli.console import console, print_json
from devicevault.settings import Settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_settings
def prune(settings: Settings, dry_run: bool, as_json: bool) -> None:
    """Delete what is older than [retention] of the settings keeps it.

    Collections that found no change go, and originals of overtaken revisions where originals_days says so. Every
    revision stays, and the newest original of each artifact, and each device's newest collection.
    """
    from devicevault.store import open_store
    from devicevault.store.retention import prunable, prune

    with open_store(settings.database_url) as store:
        found = (prunable if dry_run else prune)(store, settings.retention, datetime.now(UTC))
    if as_json:
        print_json(asdict(found))
        return
    done = "would be deleted" if dry_run else "deleted"
    counts = [f"{found.results} results", f"{found.originals} originals"]
    if not dry_run:
        counts.insert(1, f"{found.runs} runs")
    console().print(f"{done}: {', '.join(counts)}")
