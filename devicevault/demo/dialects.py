"""How the command lines of twelve platforms look to somebody who reads a configuration over SSH.

A :class:`Dialect` holds what differs between platforms: prompts, the pager and what silences it, the
commands that show a configuration, the lines in it that are new at each reading, the error texts.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True)
class Reading:
    """One time a configuration is shown: what the device puts into the lines that change by themselves."""

    name: str
    user: str
    #: Counts the readings of one device, from 1.
    number: int
    time: datetime
    #: Who changed the configuration last.
    author: str = "backup"


Frame = Callable[[str, Reading], str]


@dataclass(frozen=True)
class Dialect:
    """One platform's command line. ``{name}`` and ``{user}`` in prompts are the device's name and the login."""

    prompt: str
    #: The command that shows the configuration.
    show: str
    #: What the device answers to a command it does not know; ``{command}`` is the command.
    error: str
    #: The configuration as printed, with the lines that are new at each reading.
    frame: Frame
    #: The command that shows what the device starts with, if it keeps that apart.
    startup: str = r"(?!)"
    #: The command that counts the lines of what ``show`` prints, and the answer's form.
    count: str = r"(?!)"
    count_form: str = "{count}\n"
    #: Whether blank lines are counted as well.
    counts_blank: bool = True
    #: What the second command on the same line as ``show`` writes after the configuration.
    mark: str = ""
    #: The prompt before ``enable``; empty where the platform has no such step.
    user_prompt: str = ""
    motd: str = ""
    #: Commands that silence the pager for this session only.
    silence: str = r"(?!)"
    #: The pager's question; empty where there is no pager.
    pager: str = ""
    #: What wipes the pager's question off the screen again.
    erase: str = ""
    #: Other commands and their answers, among them what the device says of itself.
    answers: Mapping[str, str] | None = None
    leave: str = r"exit|quit|logout"
    #: What ends a typed line on the screen.
    newline: str = "\r\n"
    #: Printed before each prompt and after each typed line by terminals that bracket pasted text.
    bracket: tuple[str, str] = ("", "")

    def answer(self, command: str) -> str | None:
        """The answer to a command that shows no configuration, or None where the device does not know it."""
        if re.fullmatch(self.silence, command):
            return (self.answers or {}).get("silence", "")
        for pattern, answer in (self.answers or {}).items():
            if match := re.fullmatch(pattern, command):
                return match.expand(answer) if "\\1" in answer else answer
        return None


#: Typed by a backup, any of these is a fault of the backup: it would change the device.
CHANGES: Final = re.compile(
    r"conf(ig(ure)?)?( .+)?|system-view|edit|set (?!cli |terminal ).+|unset .+|delete .+|commit.*|save.*|write.*"
    r"|copy .+|reload.*|reboot.*|/(?!export|system|quit).*(add|set|remove).*|no (?!page).+|end|execute .+|rm .+|undo .+"
)


def _stamp(reading: Reading, form: str) -> str:
    return reading.time.strftime(form)


def _ios(text: str, reading: Reading) -> str:
    lines = text.rstrip("\n").removesuffix("end").rstrip("\n")
    changed = _stamp(reading, "%H:%M:%S UTC %a %b %d %Y")
    return (
        f"Building configuration...\n\nCurrent configuration : {len(text) + reading.number} bytes\n!\n"
        f"! Last configuration change at {changed} by {reading.author}\n"
        f"! NVRAM config last updated at {changed} by {reading.user}\n!\n"
        f"{lines}\nntp clock-period {17179800 + reading.number}\nend\n\n"
    )


def _nxos(text: str, reading: Reading) -> str:
    time = _stamp(reading, "%a %b %d %H:%M:%S %Y")
    return f"\n!Command: show running-config\n!Running configuration last done at: {time}\n!Time: {time}\n\n{text}\n"


def _asa(text: str, reading: Reading) -> str:
    written = _stamp(reading, "%H:%M:%S.%f UTC %a %b %d %Y")
    return (
        f": Saved\n\n: \n: Serial Number: FCH0000{len(reading.name):04d}\n"
        f": Hardware:   ASA5512, 4096 MB RAM, CPU Clarkdale 2800 MHz, 1 CPU (2 cores)\n"
        f": Written by {reading.user} at {written}\n!\n{text}"
        f"Cryptochecksum:{hashlib.md5(written.encode(), usedforsecurity=False).hexdigest()}\n: end\n\n"
    )


def _eos(text: str, reading: Reading) -> str:
    head = f"! Command: show running-config\n! device: {reading.name} (DCS-7050TX-64, EOS-4.28.3M)\n!\n"
    return head + f"! boot system flash:/EOS-4.28.3M.swi\n!\n{text}"


def _junos(text: str, reading: Reading) -> str:
    return f"## Last commit: {_stamp(reading, '%Y-%m-%d %H:%M:%S UTC')} by {reading.author}\n{text}\n"


def _aoscx(text: str, reading: Reading) -> str:
    return f"Current configuration:\n!\n!Version ArubaOS-CX PL.10.13.0005\n!export-password: default\n{text}"


def _routeros(text: str, reading: Reading) -> str:
    return (
        f"# {_stamp(reading, '%Y-%m-%d %H:%M:%S')} by RouterOS 7.16\n# software id = 8K4Q-QW2M\n#\n"
        f"# model = CCR2004-16G-2S+\n# serial number = HE60{len(reading.name):04d}\n{text}"
    )


def _fortios(text: str, reading: Reading) -> str:
    def salted(match: re.Match[str]) -> str:
        salt = hashlib.sha512(f"{match.group(1)} {reading.number}".encode()).digest()
        return "ENC " + base64.b64encode(salt).decode()

    return (
        f"#config-version=FGT91G-7.4.7-FW-build2731-250120:opmode=0:vdom=0:user={reading.user}\n"
        f"#conf_file_ver={4000000000 + reading.number}\n#buildno=2731\n#global_vdom=1\n"
        + re.sub(r"ENC (?!SH2)(\S+)", salted, text)  # a hash is what it is
        + "\n"
    )


def _frr(text: str, reading: Reading) -> str:
    return f"Building configuration...\n\nCurrent configuration:\n!\n{text}"


def _plain(text: str, reading: Reading) -> str:
    return text


_IOS_VERSION: Final = """\
Cisco IOS XE Software, Version 17.09.04a
Cisco IOS Software [Cupertino], Catalyst L3 Switch Software (CAT9K_LITE_IOSXE), Version 17.9.4a, RELEASE SOFTWARE (fc3)
System image file is "flash:packages.conf"
cisco C9200L-24P-4G (ARM64) processor with 522678K/3071K bytes of memory.
Processor board ID JAE00000000
Model Number                       : C9200L-24P-4G
System Serial Number               : JAE00000000
Configuration register is 0x102

"""

DIALECTS: Final[Mapping[str, Dialect]] = {
    "cisco_ios": Dialect(
        prompt="{name}#",
        user_prompt="{name}>",
        show=r"(sh|show) (run|running-config)( all| view full)?",
        startup=r"show (start|startup-config)",
        error="                   ^\n% Invalid input detected at '^' marker.\n\n",
        frame=_ios,
        silence=r"term(inal)? len(gth)? 0",
        pager=" --More-- ",
        erase="\b" * 10 + " " * 10 + "\b" * 10,
        answers={r"term(inal)? width \d+": "", r"sh(ow)? ver(sion)?": _IOS_VERSION},
    ),
    "cisco_nxos": Dialect(
        prompt="{name}# ",
        motd="\nCisco Nexus Operating System (NX-OS) Software\nTAC support: http://www.cisco.com/tac\n",
        show=r"show (run|running-config)( all)?",
        startup=r"show (start|startup-config)",
        error="                      ^\n% Invalid command at '^' marker.\n",
        frame=_nxos,
        count=r"show (run|running-config|startup-config) \| include \. \| count",
        counts_blank=False,
        silence=r"term(inal)? len(gth)? 0",
        pager="--More--",
        erase="\r        \r",
        newline="\r\r\n",
        answers={
            r"term(inal)? width \d+": "",
            r"show version": "Cisco Nexus Operating System (NX-OS) Software\n\nSoftware\n  BIOS: version 05.45\n"
            "  NXOS: version 9.3(10)\n\nHardware\n  cisco Nexus9000 C93180YC-EX chassis\n"
            "  Processor Board ID FDO00000000\n\n  Device name: leaf\n",
        },
    ),
    "cisco_asa": Dialect(
        prompt="{name}# ",
        user_prompt="{name}> ",
        motd="Type help or '?' for a list of available commands.\n",
        show=r"show (run|running-config)( all)?|more system:running-config",
        startup=r"show (start|startup-config)",
        error="                ^\nERROR: % Invalid input detected at '^' marker.\n",
        frame=_asa,
        silence=r"term(inal)? pager (lines )?0",
        pager="<--- More --->",
        erase="\r              \r",
        answers={
            r"show mode": "Security context mode: single \n",
            r"show ver(sion)?": "\nCisco Adaptive Security Appliance Software Version 9.12(4)67 \n"
            "\nHardware:   ASA5512, 4096 MB RAM, CPU Clarkdale 2800 MHz, 1 CPU (2 cores)\n"
            "Serial Number: FCH00000000\n",
        },
    ),
    "arista_eos": Dialect(
        prompt="{name}#",
        user_prompt="{name}>",
        show=r"show (run|running-config)( all| sanitized)?",
        startup=r"show startup-config",
        error="% Invalid input\n",
        frame=_eos,
        silence=r"term(inal)? len(gth)? 0",
        pager=" --More-- ",
        erase="\r\x1b[K",
        answers={
            "silence": "Pagination disabled.\n",
            r"term(inal)? width (\d+)": r"Width set to \2 columns." + "\n",
            r"show version": "Arista DCS-7050TX-64-R\nHardware version: 01.11\nSerial number: JPE00000000\n"
            "Software image version: 4.28.3M\nArchitecture: i686\n\n",
        },
    ),
    "juniper_junos": Dialect(
        prompt="{user}@{name}> ",
        motd="--- JUNOS 22.4R3-S2 Kernel 64-bit\n",
        show=r"show configuration( \| (display (omit|inheritance|inheritance no-comments)|no-more))*",
        error="                     ^\nunknown command.\n\n",
        frame=_junos,
        count=r"show configuration( \| display omit)? \| count",
        count_form="Count: {count} lines\n\n",
        silence=r"set cli screen-length 0",
        pager="---(more)---",
        erase="\r                                        \r",
        answers={
            "silence": "Screen length set to 0\n\n",
            r"set cli screen-width (\d+)": r"Screen width set to \1" + "\n\n",
            r"set cli complete-on-space off": "Disabling complete-on-space\n\n",
            r"set cli timestamp disable": "Disabling CLI timestamp\n\n",
            r"show version( \| no-more)?": "Hostname: srx\nModel: srx300\nJunos: 22.4R3-S2\n\n",
            r"show chassis hardware( \| no-more)?": "Hardware inventory:\n"
            "Item             Version  Part number  Serial number     Description\n"
            "Chassis                                CV0000AF0000      SRX300\n\n",
        },
    ),
    "aruba_aoscx": Dialect(
        prompt="{name}# ",
        show=r"show (run|running-config)( all)?",
        startup=r"show startup-config",
        error="Invalid input: {command}\n",
        frame=_aoscx,
        count=r"show (run|running-config|startup-config) \| count",
        silence=r"no page",
        pager="-- MORE --, next page: Space, next line: Enter, quit: q",
        erase="\r" + " " * 56 + "\r",
        answers={
            r"show version": "-" * 77 + "\nArubaOS-CX\n" + "-" * 77 + "\nVersion      : PL.10.13.0005\n"
            "Build Date   : 2023-11-10 15:08:58 UTC\nActive Image : primary\n\n",
            r"show system": "Hostname               : sw\nVendor                 : Aruba\n"
            "Product Name           : R8N85A 6000 48G CL4 4SFP Swch\nChassis Serial Nbr     : SG00KN0000\n",
        },
    ),
    "hp_comware": Dialect(
        prompt="<{name}>",
        motd="\n" + "*" * 78 + "\n* Copyright (c) 2010-2022 Hewlett Packard Enterprise Development LP            *\n"
        "* Without the owner's prior written consent,                                 *\n" + "*" * 78 + "\n\n",
        show=r"dis(play)? cur(rent-configuration)?",
        startup=r"dis(play)? saved(-configuration)?",
        error="          ^\n % Unrecognized command found at '^' position.\n",
        frame=_plain,
        silence=r"screen-length disable",
        pager="---- More ----",
        erase="\x1b[16D" + " " * 16 + "\x1b[16D",
        leave=r"quit|exit",
        answers={
            r"dis(play)? ver(sion)?": "HPE Comware Software, Version 7.1.070, Release 3507P02\n"
            "Copyright (c) 2010-2022 Hewlett Packard Enterprise Development LP\n"
            "HPE 5130 48G PoE+ 4SFP+ EI Switch uptime is 20 weeks, 1 day, 3 hours, 7 minutes\n",
            r"display device manuinfo": "Slot 1 CPU 0:\n DEVICE_NAME          : S5130S-48G\n"
            " DEVICE_SERIAL_NUMBER : 219801A00000000\n",
        },
    ),
    "mikrotik_routeros": Dialect(
        prompt="[{user}@{name}] > ",
        motd="\n  MikroTik RouterOS 7.16 (c) 1999-2024       https://www.mikrotik.com/\n\n",
        show=r"/?export( (terse|compact|verbose|show-sensitive|hide-sensitive|without-paging))*(; :put .*)?",
        error="bad command name {command} (line 1 column 1)\n",
        frame=_routeros,
        mark="# end of export\n",
        leave=r"/?quit|exit",
        answers={
            r"/system resource print( without-paging)?": "                   uptime: 32m36s\n"
            "                  version: 7.16 (stable)\n        architecture-name: arm64\n"
            "               board-name: CCR2004-16G-2S+\n                 platform: MikroTik\n\n",
            r"/system routerboard print( without-paging)?": "       routerboard: yes\n"
            "             model: CCR2004-16G-2S+\n     serial-number: HE600000000\n  current-firmware: 7.16\n\n",
        },
    ),
    "fortinet_fortios": Dialect(
        prompt="{name} # ",
        show=r"show( full-configuration)?( \| grep (\.|\"\"|''|\"\.\*\"|-v \S+))?",
        error="Unknown action 0\n\n",
        frame=_fortios,
        count=r"show \| grep -c \.",
        counts_blank=False,
        pager="--More-- ",
        erase="\r         \r",
        newline="\r\r\n",
        answers={
            r"get system status": "Version: FortiGate-91G v7.4.7,build2731,250120 (GA.M)\n"
            "Serial-Number: FGT91GTK00000000\nHostname: fw\nVirtual domains status: 1 in NAT mode, 0 in TP mode\n"
            "Virtual domain configuration: disable\nCurrent virtual domain: root\n\n",
        },
    ),
    "vyos": Dialect(
        prompt="{user}@{name}:~$ ",
        motd="Welcome to VyOS!\n",
        show=r"show configuration commands( \| no-more)?",
        error="\n  Invalid command: [{command}]\n\n",
        frame=_plain,
        count=r"show configuration commands( \| no-more)? \| count",
        silence=r"set terminal length 0|terminal length 0",
        pager=":",
        erase="\r\x1b[K",
        bracket=("\x1b[?2004h", "\x1b[?2004l\r"),
        answers={
            r"set terminal width \d+": "",
            r"show version( \| no-more)?": "Version:          VyOS 1.4.3\nRelease train:    sagitta\n\n"
            "Hardware vendor:  Supermicro\nHardware model:   SYS-E300\nHardware S/N:     S00000000000\n\n",
        },
    ),
    "frr": Dialect(
        prompt="{name}# ",
        motd="\nHello, this is FRRouting (version 8.4.4).\nCopyright 1996-2005 Kunihiro Ishiguro, et al.\n\n",
        show=r"(sh|show) (run|running-config)( no-header)?|write terminal",
        error="% Unknown command: {command}\n",
        frame=_frr,
        silence=r"term(inal)? len(gth)? 0|no terminal paginate",
        answers={r"show version": "FRRouting 8.4.4 (edge) on Linux(6.1.0-40-amd64).\n"},
    ),
    "linux": Dialect(
        prompt="{user}@{name}:~$ ",
        motd="Linux 6.1.0-40-amd64 #1 SMP PREEMPT_DYNAMIC Debian x86_64\n\n",
        show=r"sh -c .*/etc.*|cat /etc/network/interfaces",
        error="-bash: {command}: command not found\n",
        frame=_plain,
        silence=r"(export )?PAGER=cat|export .+|stty .+|unset .+|LANG=.+|LC_ALL=.+",
        bracket=("\x1b[?2004h", "\x1b[?2004l\r"),
        answers={
            r"uname -a|uname -sr|uname.*": "Linux 6.1.0-40-amd64\n",
            r"cat /etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
        },
    ),
}
