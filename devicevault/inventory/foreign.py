"""What Oxidized and RANCID call the platforms, so that their ``router.db`` can be read as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PLATFORMS: Final[Mapping[str, str]] = {
    # Oxidized's models
    "aoscx": "aruba_aoscx",
    "asa": "cisco_asa",
    "comware": "hp_comware",
    "eos": "arista_eos",
    "fortios": "fortinet_fortios",
    "ios": "cisco_ios",
    "junos": "juniper_junos",
    "linuxgeneric": "linux",
    "nxos": "cisco_nxos",
    "routeros": "mikrotik_routeros",
    "vyatta": "vyos",
    # RANCID's types; its `cisco` may also be a PIX or ASA, which csv_platforms can't tell apart
    "arista": "arista_eos",
    "cisco": "cisco_ios",
    "cisco-nx": "cisco_nxos",
    "fortigate": "fortinet_fortios",
    "h3c": "hp_comware",
    "juniper": "juniper_junos",
    "mikrotik": "mikrotik_routeros",
}
