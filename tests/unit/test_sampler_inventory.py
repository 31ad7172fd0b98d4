"""The metrics count the devices of an inventory whose sources change while the consumer runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devicevault.outputs import sampler
from devicevault.outputs.metrics import Metrics
from devicevault.settings import Settings
from devicevault.store import open_store


def settings_in(folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "database_url": f"sqlite:///{folder}/devicevault.db",
            "platforms_dir": folder / "none",
            "inventory": {"path": folder / "devices.toml", "kept_dir": folder / "kept"},
        }
    )


def write_list(folder: Path, *names: str) -> None:
    (folder / "list.json").write_text(json.dumps([{"name": name, "platform": "linux"} for name in names]))


def devices_counted(metrics: Metrics) -> float:
    (family,) = [one for one in metrics.collect() if one.name == "devicevault_devices"]
    return sum(sample.value for sample in family.samples)


def test_devices_of_a_source_are_counted_anew_and_of_new_settings_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "INVENTORY_S", 0.0)
    with open_store(f"sqlite:///{tmp_path}/devicevault.db", migrate=True):
        pass
    (tmp_path / "devices.toml").write_text('[sources.list]\nkind = "file"\npath = "list.json"\ncache_s = 0\n')
    write_list(tmp_path, "a", "b")
    metrics = Metrics()
    samples = sampler.Sampler(metrics, settings_in(tmp_path))
    assert samples.sample("database")
    assert devices_counted(metrics) == 2
    write_list(tmp_path, "a", "b", "c")
    samples.sample("database")
    assert devices_counted(metrics) == 3
    (tmp_path / "list.json").unlink()
    samples.sample("database")
    assert devices_counted(metrics) == 3
    (tmp_path / "devices.toml").write_text('[devices.only]\nplatform = "linux"\n')
    samples.renew(settings_in(tmp_path))
    samples.sample("database")
    assert devices_counted(metrics) == 1
