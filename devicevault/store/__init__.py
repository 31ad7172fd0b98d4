"""What was collected, kept: tables, their migrations, the writer and the reader.

Nothing in here imports Celery or netmiko.
"""

from __future__ import annotations

from devicevault.store.engine import Store, open_store

__all__ = ["Store", "open_store"]
