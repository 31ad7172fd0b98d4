"""``devicevault doctor``: walk the whole chain, and say what to do about each fault.

One file for each stretch of the chain: the files, the broker and its workers, the stream and its consumer, the
database. Each is a generator of findings.
"""

from __future__ import annotations

from devicevault.doctor.examination import examine
from devicevault.doctor.finding import Finding, State, exit_code

__all__ = ["Finding", "State", "examine", "exit_code"]
