"""Simulated devices whose every text is known: what they hold, and what a person may see of it."""

from __future__ import annotations

import re

from devicevault.demo.configurations import configuration_for, secrets_of
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.fleet import SimulatedDevice

HIDDEN = "<secret hidden>"

#: What a simulated device says around its configuration, as far as it stays the same at each reading.
FRAMES: dict[str, tuple[str, str]] = {
    "arista_eos": (
        ("! device: {name} (DCS-7050TX-64, EOS-4.28.3M)\n!\n! boot system flash:/EOS-4.28.3M.swi\n!\n"),
        "",
    ),
    "aruba_aoscx": (
        f"!\n!Version ArubaOS-CX PL.10.13.0005\n!export-password: {HIDDEN}\n",
        "",
    ),
    "cisco_asa": (
        ": Serial Number: FCH0000{length:04d}\n: Hardware:   ASA5512, 4096 MB RAM, CPU Clarkdale, 1 CPU (2 cores)\n!\n",
        ": end\n",
    ),
    "cisco_ios": ("!\n!\n", ""),
    "fortinet_fortios": (
        "#config-version=FGT91G-7.4.7-FW-build2731-250120:opmode=0:vdom=0:user=\n#buildno=2731\n#global_vdom=1\n",
        "",
    ),
    "frr": ("!\n", ""),
    "mikrotik_routeros": (
        (
            "# RouterOS 7.16\n# software id = 8K4Q-QW2M\n#\n# model = CCR2004-16G-2S+\n"
            "# serial number = HE60{length:04d}\n"
        ),
        "",
    ),
}


def platform_and_name(number: int) -> tuple[str, str]:
    """Every platform in turn; the name ends with the number."""
    platforms = sorted(DIALECTS)
    platform = platforms[number % len(platforms)]
    return platform, f"{platform.replace('_', '-')}-{number}"


def simulated(number: int) -> SimulatedDevice:
    """One of the fleet: every platform in turn, each device with a configuration and secrets of its own."""
    platform, name = platform_and_name(number)
    configuration = configuration_for(platform, name, size_kb=3 + number % 7 * 6, seed=number)
    return SimulatedDevice(name, platform, configuration, enable="open sesame")


def shown(device: SimulatedDevice) -> str:
    """What a person may see of a simulated device: worked out from what its maker knows, not from platform pages."""
    text = device.configuration
    for secret in secrets_of(device.platform, device.name, seed=int(device.name.rpartition("-")[2])):
        text = text.replace(secret, HIDDEN)
    # Some platforms write a secret in quotes, or with a word before it that says how it is encrypted.
    text = re.sub(rf"""(?:\bENC )?["']?{HIDDEN}["']?""", HIDDEN, text)
    head, tail = FRAMES.get(device.platform, ("", ""))
    return head.format(name=device.name, length=len(device.name)) + text + tail
