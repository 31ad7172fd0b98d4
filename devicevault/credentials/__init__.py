"""A credential by its name: user, password, key; read from the worker host's own file and never sent anywhere."""

from __future__ import annotations

from devicevault.credentials.credential import Credential
from devicevault.credentials.store import CredentialStore, known_credentials

__all__ = ["Credential", "CredentialStore", "known_credentials"]
