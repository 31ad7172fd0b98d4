"""A trial's session as a recording: what the device showed, with its secrets hidden."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from devicevault.collector.steps import HIDDEN
from devicevault.collector.text import clean
from devicevault.collector.trial import Exchange, Trial, masked
from devicevault.platforms.recording import Expected, Recording


def captured(trial: Trial, secrets: tuple[str, ...]) -> Recording:
    """The recording of this trial, which has no prompt where a plugin read.

    ``secrets`` are the session's own, longest first: hidden however short they are.
    """
    prompts = trial.watch.prompts
    if not (prompts or trial.platform.plugin):
        raise ValueError("there was no prompt, so there is nothing to record")

    def shown(text: str) -> str:
        text = masked(trial.platform, text)
        for secret in secrets:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
        return text

    artifacts = tuple(reading.source.name for reading in trial.readings)
    facts = trial.facts.model_dump(include={"model", "version", "serial"})
    common: dict[str, Any] = {
        "platform": trial.platform.name,
        "sources": (f"Captured {datetime.now(UTC):%Y-%m-%d}",),
        "answers": {each.command: _answer(trial, each, shown(each.answer)) for each in trial.watch.exchanges},
        "expect": Expected(artifacts=artifacts, **facts),
    }
    if not prompts:
        return Recording(**common)
    greeting = clean(prompts[0][0], echo="", prompt=prompts[0][1])
    is_enabled = len(prompts) > 1
    asked = re.search(r"([^\n]*[Pp]assword:? ?)\r?\n?", prompts[1][0]) if is_enabled else None
    return Recording(
        greeting=shown(greeting) if greeting.strip() else "",
        prompt=prompts[-1][1] + " " * prompts[-1][0].endswith(" "),
        unprivileged_prompt=prompts[0][1] if is_enabled else "",
        enable_asks=asked[1] if asked else "",
        **common,
    )


def _answer(trial: Trial, exchange: Exchange, shown: str) -> str:
    """The answer; a count of the configuration's lines is written as such, for blank lines around it are not kept."""
    platform = trial.platform
    counts = {platform.complete.count_with.replace("{command}", command) for command in platform.artifacts[0].commands}
    found = platform.complete.count.search(shown) if exchange.command in counts - {""} else None
    if not found or not trial.readings:
        return shown
    more = int(found[1]) - trial.readings[0].lines
    return shown[: found.start(1)] + (f"{{{{count {more:+d}}}}}" if more else "{{count}}") + shown[found.end(1) :]
