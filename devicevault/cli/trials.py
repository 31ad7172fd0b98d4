"""Trials of platform pages: what was typed, what came, what a collection would make of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from devicevault.cli import finish
from devicevault.cli.console import console, errors, print_json, say
from devicevault.cli.reaching import reaching
from devicevault.cli.trial_view import print_trial, summary
from devicevault.collector.capture import captured
from devicevault.collector.completeness import judge
from devicevault.collector.normalise import normalise
from devicevault.collector.text import decode
from devicevault.collector.trial import (
    CUTS,
    Trial,
    Watch,
    try_recording,
    try_session,
    unnoticed_cuts,
)
from devicevault.errors import PlatformUnknown, UsageError
from devicevault.inventory import load_inventory
from devicevault.messages import CollectRequest
from devicevault.platforms import Platforms
from devicevault.platforms.asked import page_for
from devicevault.platforms.page import Platform
from devicevault.platforms.recording import Expected, Recording
from devicevault.platforms.written import written
from devicevault.settings import Settings

#: Seconds a played session may take; it takes none.
LIMIT_S: Final = 600.0


def try_one(settings: Settings, name: str, platform: str, capture: Path | None, *, as_json: bool) -> None:
    """Tries the page on a device of the inventory, and exits with 1 when no collection would come of it."""
    platforms = Platforms.load(settings.platforms_dir)
    device, *others = load_inventory(settings, platforms.names(), None).select([name])
    if others:
        raise UsageError(f"{name} is {1 + len(others)} devices", "try one of them")
    page = named_page(platforms, platform or device.platform)
    if page.kind == "noop":
        raise UsageError(f"{page.name} is no device", "try a device of another platform")
    page = page_for(page, device.options)
    if capture and all(source.binary for source in page.artifacts):
        raise UsageError(
            f"{page.name} brings files, and nobody can hide the secrets in one: there is nothing to keep in {capture}",
            "leave --capture out",
        )
    with errors().status(f"trying {device.name}"):
        watch = Watch()
        with reaching(device, platforms, settings, watch) as way:
            trial = try_session(way.session(page), page, way.steps, watch)
    if capture and trial.watch.exchanges:
        write_private(capture, written(captured(trial, way.steps.secrets)))
    if as_json:
        print_json(summary(trial))
    else:
        print_trial(trial)
        if capture:
            kept = f"kept in {capture}; look at it before you give it to others"
            say(console(), kept if trial.watch.exchanges else f"there was no session to keep in {capture}")
    finish(failed=not trial.is_whole)


def check_recording(platforms: Platforms, file: Path, platform: str, *, as_json: bool) -> None:
    """Judges a page by a recorded session, and exits with 1 when it does not pass."""
    recording = Recording.load(file)
    page = named_page(platforms, platform or recording.platform)
    if page.kind == "noop" or (page.kind == "cli") != bool(recording.prompt):
        held = "a command line" if recording.prompt else "answers to a plugin, without a prompt"
        raise UsageError(f"{file.name} holds {held}, and {page.name} reads something else", "name another page")
    page = page_for(page, _options(page, recording))
    request = _request(file.stem, page.name)
    trial = try_recording(recording, page, request)
    complaints = list(unmet(recording.expect, trial))
    if trial.is_whole:
        complaints += [
            f"cut at {share:.0%} of the configuration, it was taken for whole"
            for share in unnoticed_cuts(recording, trial, request)
        ]
    if as_json:
        print_json({**summary(trial), "complaints": complaints})
    else:
        print_trial(trial, timed=False)
        for complaint in complaints:
            say(console(), f"not as it should be: {complaint}", "bold red")
        if not complaints and trial.is_whole:
            say(console(), f"cut at {CUTS} places, it was never taken for whole", "green")
    finish(failed=bool(complaints) or not trial.is_whole)


def check_text(page: Platform, file: Path) -> None:
    """Judges a configuration in a file, and prints it as it would be kept. Raises what a session would."""
    text = decode(file.read_bytes()).replace("\r\n", "\n")
    proof = judge(page, text)
    normalised = normalise(page, text)
    click.echo(normalised.text, nl=False)
    again = "reading it twice is left to a session" if page.complete.read_twice else ""
    told = ", ".join(filter(None, (proof, again, f"secrets hidden: {normalised.redacted}")))
    click.echo(f"whole: {told}", err=True)


def named_page(platforms: Platforms, name: str) -> Platform:
    """The page of this name. Raises :class:`~devicevault.errors.UsageError`, naming the nearest one."""
    try:
        return platforms.get(name)
    except PlatformUnknown as error:
        raise UsageError(error.problem, error.fix) from None


def unmet(expected: Expected, trial: Trial) -> Iterator[str]:
    """What a recording expects and its trial did not bring."""
    told = "\n".join(reading.normalised.text for reading in trial.readings)
    yield from (f"the secret {secret!r} is shown" for secret in expected.secrets if secret in told)
    yield from (f"{text!r} is missing" for text in expected.shown if text not in told)
    for name in ("model", "version", "serial"):
        wanted, found = getattr(expected, name), getattr(trial.facts, name)
        if wanted and wanted != found:
            yield f"the {name} is {wanted!r}, and {repr(found) if found else 'nothing'} was found"
    brought = tuple(reading.source.name for reading in trial.readings)
    if brought != expected.artifacts:
        yield f"{', '.join(expected.artifacts)} expected, {', '.join(brought) or 'nothing'} brought"


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read. Raises :class:`~devicevault.errors.UsageError` where it can't."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}", "name another file") from None


def _options(page: Platform, recording: Recording) -> dict[str, Any]:
    """What the recorded device's options said: its texts."""
    return {page.plugin.ask_option: list(recording.answers), "text": True} if page.plugin else {}


def _request(device: str, platform: str) -> CollectRequest:
    return CollectRequest(
        task_id=str(uuid.uuid4()),
        device_id=device,
        device=device,
        platform=platform,
        requested_at=datetime.now(UTC),
        deadline_s=LIMIT_S,
    )
