"""Configurations as a switch with hundreds of ports has them: no two alike, and as hard to compress as real ones."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Final

from devicevault.demo.configurations import configuration_for

_NAME: Final = "the-name-of-it"
_VERSION: Final = "of version 0000"


@lru_cache(maxsize=8)
def _template(size_kb: float) -> str:
    chance = random.Random(7)
    head, _, tail = configuration_for("cisco_ios", _NAME).rpartition("end\n")
    ports: list[str] = []
    size = len(head)
    while size < size_kb * 1000:
        number = len(ports)
        ports.append(
            f"interface GigabitEthernet{number // 48 + 1}/0/{number % 48 + 1}\n"
            f" description {_NAME} link {chance.randrange(10**6)} to rack {chance.randrange(400)}\n"
            f" switchport access vlan {chance.randrange(1, 4094)}\n"
            " switchport mode access\n"
            f" ip address 10.{chance.randrange(256)}.{chance.randrange(256)}.1 255.255.255.0\n"
            " spanning-tree portfast\n"
            "!\n"
        )
        size += len(ports[-1])
    return f"{head}{''.join(ports)}banner motd ^C {_VERSION} ^C\nend\n{tail}"


def running_config(name: str, size_kb: float, version: int = 0) -> str:
    """The configuration of the device of this name; with another ``version``, one line differs."""
    return _template(size_kb).replace(_NAME, name).replace(_VERSION, f"of version {version:04d}")
