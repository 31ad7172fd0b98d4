"""Typed settings: defaults < config.toml and its drop-ins < environment.

One declaration per setting (name, type, default, unit, help) in :mod:`devicevault.settings.schema` feeds
validation, the commented ``etc/config.toml``, the README table and ``devicevault config show``.
"""

from __future__ import annotations

from devicevault.settings.jump import JumpSettings
from devicevault.settings.load import (
    DEFAULT_CONFIG,
    LoadedSettings,
    config_path,
    load_settings,
    load_settings_with_origins,
)
from devicevault.settings.masking import mask_passwords
from devicevault.settings.schema import (
    ConsumerSettings,
    FlowerSettings,
    GroupSettings,
    InventorySettings,
    LogSettings,
    MetricsSettings,
    MirrorSettings,
    NotifySettings,
    QueueSettings,
    ReceiverSettings,
    RetentionSettings,
    Settings,
    SshSettings,
    VaultSettings,
    WorkerSettings,
)
from devicevault.settings.sources import Origin

__all__ = [
    "DEFAULT_CONFIG",
    "ConsumerSettings",
    "FlowerSettings",
    "GroupSettings",
    "InventorySettings",
    "JumpSettings",
    "LoadedSettings",
    "LogSettings",
    "MetricsSettings",
    "MirrorSettings",
    "NotifySettings",
    "Origin",
    "QueueSettings",
    "ReceiverSettings",
    "RetentionSettings",
    "Settings",
    "SshSettings",
    "VaultSettings",
    "WorkerSettings",
    "config_path",
    "load_settings",
    "load_settings_with_origins",
    "mask_passwords",
]
