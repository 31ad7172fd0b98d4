"""``python -m devicevault`` is the ``devicevault`` command."""

from __future__ import annotations

from devicevault.cli import main

if __name__ == "__main__":
    main()
