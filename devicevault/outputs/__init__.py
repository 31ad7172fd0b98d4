"""What is derived from the store, and can be made anew from it."""

from __future__ import annotations
