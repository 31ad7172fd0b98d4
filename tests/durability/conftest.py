"""Prints each campaign's table at the end of the test run, whatever process ran it."""

from __future__ import annotations

from typing import Any

TABLE = "durability"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Called by pytest when all tests are done."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, table in report.user_properties:
            if name == TABLE and report.when == "call":
                terminalreporter.section("under faults")
                terminalreporter.write_line(table)
