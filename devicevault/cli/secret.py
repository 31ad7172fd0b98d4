"""Secrets a person types: never as an argument, where ``ps`` and the shell's history would show them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from devicevault.errors import UsageError


def ask_secret(what: str, *, twice: bool = False) -> str:
    """Ask for a secret without showing it; where no terminal is, it is the first line of standard input.

    Raises :class:`UsageError` when nothing comes.
    """
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise UsageError(
            f"{what[0].lower()}{what[1:]}: nothing was given", "type it, or give it as a line on standard input"
        )
    return secret


def secret_in(path: Path, what: str) -> str:
    """The first line of a file. Raises :class:`UsageError` when there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {what} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: {what} is not UTF-8 text") from None
    if not lines or not lines[0]:
        raise UsageError(f"{path}: the first line is empty", f"write {what} there")
    return lines[0]
