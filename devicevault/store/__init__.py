"""What was collected, kept: tables, their migrations, the writer and the reader.

Nothing in here imports Celery or netmiko.
"""

from __future__ import annotations

from devicevault.store.engine import Store, open_store
from devicevault.store.requests import cancel_run, mark_lost, mark_undelivered, open_run, queue_requests
from devicevault.store.writer import WriteReport, write_results

__all__ = [
    "Store",
    "WriteReport",
    "cancel_run",
    "mark_lost",
    "mark_undelivered",
    "open_run",
    "open_store",
    "queue_requests",
    "write_results",
]
