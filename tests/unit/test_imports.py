"""What may import what: data flows from request to collector to stream to store, and never back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "devicevault"

LIST_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join(name for name, module in sys.modules.items() if module is not None))
"""


def modules_under(room: str) -> list[str]:
    """Every module of a package, or the one module."""
    folder = PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    # Alembic runs the migrations by itself; they are no modules to import.
    files = [path for path in files if "migrations" not in path.parts]
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in files]
    return [".".join(part for part in name if part != "__init__") for name in parts]


def imported_by(modules: list[str]) -> set[str]:
    """Everything a fresh Python has imported after importing these."""
    assert modules
    done = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS, *modules], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def intruders(imported: set[str], forbidden: tuple[str, ...]) -> list[str]:
    return sorted(name for name in imported if any(name == bad or name.startswith(bad + ".") for bad in forbidden))


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("collector", ("sqlalchemy", "alembic", "psycopg", "invoke", "devicevault.store", "devicevault.dispatch")),
        ("platforms", ("sqlalchemy", "celery", "netmiko", "devicevault.store")),
        ("credentials", ("sqlalchemy", "celery", "netmiko", "devicevault.store")),
        ("inventory", ("sqlalchemy", "celery", "netmiko", "devicevault.store", "devicevault.collector")),
        ("stream", ("sqlalchemy", "celery", "netmiko", "devicevault.store", "devicevault.collector")),
        ("store", ("celery", "kombu", "netmiko", "paramiko", "redis", "devicevault.collector")),
        ("daemons/consumer", ("celery", "netmiko", "paramiko", "devicevault.collector")),
        ("daemons/worker", ("sqlalchemy", "alembic", "psycopg", "invoke", "devicevault.store")),
        ("daemons/syslog", ("netmiko", "paramiko", "devicevault.collector")),
        ("celery_app", ("sqlalchemy", "netmiko", "devicevault.store")),
        ("messages", ("sqlalchemy", "celery", "redis", "netmiko")),
        ("settings", ("sqlalchemy", "celery", "redis", "netmiko")),
        ("cli/__init__", ("sqlalchemy", "celery", "redis", "netmiko", "rich", "pydantic")),
    ],
)
def test_a_room_imports_nothing_of_the_rooms_it_must_not_know(room: str, forbidden: tuple[str, ...]) -> None:
    assert intruders(imported_by(modules_under(room)), forbidden) == []


def test_the_check_itself_finds_an_intruder() -> None:
    assert intruders(imported_by(["devicevault.dispatch"]), ("sqlalchemy", "celery")) != []
