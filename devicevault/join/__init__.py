"""How another host becomes a worker of this vault: one file that the vault writes and the worker's host installs."""

from __future__ import annotations

from devicevault.join.accounts import account_commands
from devicevault.join.export import export
from devicevault.join.file import JoinFile
from devicevault.join.install import Installed, install

__all__ = ["Installed", "JoinFile", "account_commands", "export", "install"]
