"""What a page may type: a backup never changes a device.

A command is refused when it, or any part behind a pipe, a semicolon or a quote, begins like one that changes
something. Of those beginnings a few exact forms only print, or are about the running session alone, and only they are
let through.
"""

from __future__ import annotations

import re
from typing import Final

#: Whole commands that begin like a change and only print, or end with the session. Each with the manual that says so.
_SESSION_ONLY: Final = re.compile(
    "|".join(
        (
            # Junos CLI User Guide: operational mode, lost at logout.
            r"set cli (?:screen-length|screen-width) \d+",
            # PAN-OS CLI Quick Start: the CLI's modes of this session.
            r"set cli (?:pager off|config-output-format (?:set|xml|default)|scripting-mode on)",
            # Check Point Gaia Administration Guide: kept only after `save clienv`.
            r"set clienv rows 0",
            # Catalyst 6500 CatOS Command Reference: for the session unless `default` follows.
            r"set length 0",
            # ArubaOS, ProCurve, AOS-CX and WiNG: the session's own paging.
            r"no (?:page|paging)",
            # Onyx and GigaVUE-OS manuals: `cli session` is this session, `cli default` would be all to come.
            r"no cli session paging enable",
            # SonicOS CLI Reference Guide: `session` is what it says.
            r"no cli pager session",
            # SAOS 10 CLI: `session` is this login's; the vendor's Ansible collection types it in each new one.
            r"set session more off",
            # ExtremeXOS Command Reference: with `session`, it is never saved.
            r"disable (?:clipaging|cli paging) session",
            # Cambium ePMP User Guide: `config show` prints, `config set` and `config save` are other commands.
            r"config show json",
        )
    )
)

_CHANGES: Final = re.compile(
    r"(?:conf(?:ig(?:ure)?)?|system-view|set|unset|reset|no|undo|write|copy|commit|save|reload|reboot|restart|delete|"
    r"erase|del|rm|mv|cp|ln|mkdir|rmdir|touch|chmod|chown|tee|dd|tftp|ftp|scp|sftp|wget|curl|add|remove|import|"
    r"restore|rollback|edit|create|destroy|modify|execute|request|clear|start|stop|shutdown|poweroff|halt|kill|format|"
    r"upgrade|update|install|uninstall|apply|activate|deactivate|disable|load|replace|rename|insert|append|redirect|"
    r"put|debug|test|lock|unlock|systemctl|service|crontab|nvram|uci (?!show|export)|sysctl -w)\b(?!-)|"
    # `enable` alone is a step of the session; with a word behind it, it turns something on.
    r"enable (?!\d+$|admin$|secret$)|"
    # RouterOS: a menu's path, then the verb.
    r"/.*\b(?:add|set|unset|remove|move|enable|disable|edit|import|load|reset\S*|reboot|shutdown|install|upgrade)\b"
)
#: What a shell is told before the command itself.
_SHELL: Final = re.compile(r"(?:sudo(?: -n)?|do|then|else|exec|nice|time|env|sh -c|bash -c|run|cli -c|tmsh|vtysh -c) +")
#: An answer so short is a key, a number in a menu, or yes and no.
KEYS_MAX: Final = 3
_SEPARATORS: Final = re.compile(r"[|;&\n'\"`({]+")


def harmless(command: str) -> str:
    """The command, if it only reads. Raises :class:`ValueError` with the reason where it may not."""
    if "\n" in command or "\r" in command:
        raise ValueError("a command is one line")
    if _SESSION_ONLY.fullmatch(command):
        return command
    for part in _SEPARATORS.split(command.casefold()):
        if any(_CHANGES.match(form) for form in _forms(part.strip())):
            raise ValueError(f"{command!r} may change the device; a page only reads")
    if re.search(r"(?<!2)>(?!&)", command):
        raise ValueError(f"{command!r} may write a file; a page only reads")
    return command


def harmless_keys(keys: str) -> str:
    """Keys that answer a question, if they can't be a command that changes something. Raises :class:`ValueError`."""
    typed = keys.strip("\r\n \x03\x1a\x1b")
    if len(typed) > KEYS_MAX and typed not in ("{username}", "{password}"):
        harmless(typed)
    return keys


def _forms(part: str) -> tuple[str, ...]:
    bare = part
    while found := _SHELL.match(bare):
        bare = bare[found.end() :]
    return part, part.lstrip("/"), bare
