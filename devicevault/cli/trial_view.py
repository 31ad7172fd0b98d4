"""A trial of a platform page, shown."""

from __future__ import annotations

from typing import Any, Final

from devicevault.cli.console import console, print_table, say, table
from devicevault.collector.trial import Trial, TriedArtifact, hidden, left_out
from devicevault.platforms.page import Platform
from devicevault.wording import counted

#: Lines shown of what is left out of an artifact, and of what is hidden in it.
LINES_SHOWN: Final = 8


def summary(trial: Trial) -> dict[str, Any]:
    """A trial, JSON-ready; secrets are hidden."""
    return {
        "platform": trial.platform.name,
        "whole": trial.is_whole,
        "prompt": trial.watch.prompts[-1][1] if trial.watch.prompts else "",
        "commands": [
            {"command": each.command, "seconds": round(each.seconds, 3), "bytes": len(each.answer.encode())}
            for each in trial.watch.exchanges
        ],
        "artifacts": [
            {
                "name": tried.source.name,
                "whole": tried.reading is not None,
                "why": tried.reading.completeness if tried.reading else tried.problem,
                "lines": tried.reading.normalised.text.count("\n") if tried.reading else None,
                "left_out": dict(left_out(trial.platform, tried.reading)) if tried.reading else {},
                "hidden": tried.reading.normalised.redacted if tried.reading else 0,
            }
            for tried in trial.artifacts
        ],
        "facts": trial.facts.model_dump(mode="json"),
        "problem": trial.problem,
        "log": [{"severity": line.severity, "message": line.message} for line in trial.log],
    }


def print_trial(trial: Trial, *, timed: bool = True) -> None:
    """A trial for people."""
    out = console()
    for _, prompt in trial.watch.prompts:
        say(out, f"prompt: {prompt}")
    grid = table("Command", "Time", "Bytes") if timed else table("Command", "Bytes")
    for each in trial.watch.exchanges:
        cells = (each.command, f"{each.seconds:.1f} s", f"{len(each.answer.encode()):,}")
        grid.add_row(*(cells if timed else (cells[0], cells[2])))
    if trial.watch.exchanges:
        print_table(grid)
    for tried in trial.artifacts:
        _print_artifact(trial.platform, tried)
    for line in trial.log:
        if line.severity == "warning":
            say(out, f"warning: {line.message}", "yellow")
    facts = {name: value for name, value in trial.facts.model_dump().items() if value}
    if facts:
        say(out, "facts: " + ", ".join(f"{name} {value}" for name, value in facts.items()))
    if trial.problem:
        say(out, f"ended: {trial.problem}", "bold red")


def _print_artifact(platform: Platform, tried: TriedArtifact) -> None:
    out = console()
    if tried.reading is None:
        style = "yellow" if tried.source.optional else "bold red"
        say(out, f"{tried.source.name}: {'left out' if tried.source.optional else 'not whole'}: {tried.problem}", style)
        return
    reading = tried.reading
    if tried.source.binary:
        say(out, f"{tried.source.name}: whole: {reading.completeness}", "green")
        return
    lines = reading.normalised.text.count("\n")
    say(out, f"{tried.source.name}: whole: {reading.completeness}; {lines} lines", "green")
    taken = [line for _, lines in left_out(platform, reading) for line in lines]
    if taken:
        say(out, f"  {counted(len(taken), 'line')} left out:")
        _print_lines(taken)
    if reading.normalised.redacted:
        say(out, f"  {counted(reading.normalised.redacted, 'secret')} hidden:")
        _print_lines(hidden(reading))


def _print_lines(lines: list[str]) -> None:
    for text in lines[:LINES_SHOWN]:
        say(console(), f"    {text}", "dim")
    if len(lines) > LINES_SHOWN:
        say(console(), f"    and {len(lines) - LINES_SHOWN} more", "dim")
