"""Notices: people are told once when something changes for the better or worse, whatever restarts in between.

What was told stands in the database, written in one transaction with the notices to send. They are sent from there, in
the background, until each receiver took them.
"""

from __future__ import annotations
