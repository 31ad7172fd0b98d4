"""docs/ssh.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from devicevault.collector.lock import LIFETIME_S
from devicevault.collector.transport import LEGACY_ALGORITHMS
from devicevault.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "ssh.md").read_text()


def test_every_legacy_algorithm_is_named() -> None:
    assert [name for names in LEGACY_ALGORITHMS.values() for name in names if f"`{name}`" not in TEXT] == []


def test_the_defaults_named_are_the_defaults() -> None:
    settings = Settings()
    assert f"`ssh.deadline_s` seconds ({settings.ssh.deadline_s:g})" in TEXT
    assert f"`ssh.attempts` times ({settings.ssh.attempts})" in TEXT
    assert f"`worker.concurrency` sessions at once ({settings.worker.concurrency})" in TEXT
    assert f"`{settings.ssh.host_keys}` (default)" in TEXT
    assert f"by itself after {LIFETIME_S:g} seconds" in TEXT
