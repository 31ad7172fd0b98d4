"""Made-up configurations of twelve platforms, of any size, with secrets in the places where real ones stand."""

from __future__ import annotations

import base64
import hashlib
from string import Template
from typing import Final, NamedTuple

EXAMPLE_SITES: Final = ("warehouse", "reception", "laboratory", "server room", "car park", "canteen", "workshop")


class _Shape(NamedTuple):
    """A configuration's parts. ``$name`` is the device's name, ``$s1`` … are secrets, ``$i`` counts interfaces."""

    head: str
    interface: str
    tail: str


_SHAPES: Final = {
    "cisco_ios": _Shape(
        """\
version 17.9
service timestamps debug datetime msec
service timestamps log datetime msec
service password-encryption
!
hostname $name
!
enable secret 9 $s1
!
aaa new-model
aaa authentication login default local
!
username backup privilege 15 secret 9 $s2
no ip domain lookup
ip domain name example.net
!
vlan 10
 name staff
!
vlan 20
 name guests
!
""",
        """\
interface GigabitEthernet1/0/$i
 description $site
 switchport access vlan $vlan
 switchport mode access
 spanning-tree portfast
!
""",
        """\
interface Vlan10
 ip address 192.0.2.$n 255.255.255.0
!
ip route 0.0.0.0 0.0.0.0 192.0.2.1
!
snmp-server community $s3 RO
snmp-server location $site
tacacs server central
 address ipv4 192.0.2.50
 key 7 $s4
!
line con 0
line vty 0 4
 transport input ssh
!
ntp server 192.0.2.123
end
""",
    ),
    "cisco_nxos": _Shape(
        """\
version 9.3(10) Bios:version 05.45
hostname $name
feature interface-vlan
feature lacp
feature lldp

username admin password 5 $s1  role network-admin
ip domain-lookup
snmp-server user admin network-admin auth md5 $s2 priv $s3 localizedkey
snmp-server community $s4 group network-operator
vlan 1,10,20

""",
        """\
interface Ethernet1/$i
  description $site
  switchport access vlan $vlan
  spanning-tree port type edge

""",
        """\
interface mgmt0
  vrf member management
  ip address 192.0.2.$n/24
line console
line vty
boot nxos bootflash:/nxos.9.3.10.bin
""",
    ),
    "cisco_asa": _Shape(
        """\
ASA Version 9.12(4)67
!
hostname $name
domain-name example.net
enable password $s1 pbkdf2
names
!
""",
        """\
interface GigabitEthernet0/$i
 description $site
 nameif zone$i
 security-level 50
 ip address 198.51.100.$n 255.255.255.0
!
""",
        """\
access-list outside_in extended permit tcp any host 198.51.100.10 eq https
access-group outside_in in interface zone1
snmp-server community $s2
aaa-server central protocol radius
aaa-server central (zone1) host 192.0.2.50
 key $s3
username backup password $s4 pbkdf2 privilege 15
tunnel-group 203.0.113.9 type ipsec-l2l
tunnel-group 203.0.113.9 ipsec-attributes
 ikev1 pre-shared-key $s5
""",
    ),
    "arista_eos": _Shape(
        """\
transceiver qsfp default-mode 4x10G
!
hostname $name
ip name-server vrf default 192.0.2.53
!
aaa root secret sha512 $s1
username backup privilege 15 role network-admin secret sha512 $s2
!
snmp-server community $s3 ro
!
vlan 10,20
!
""",
        """\
interface Ethernet$i
   description $site
   switchport access vlan $vlan
!
""",
        """\
interface Management1
   ip address 192.0.2.$n/24
!
ip routing
!
router bgp 65001
   neighbor 192.0.2.2 remote-as 65002
   neighbor 192.0.2.2 password 7 $s4
!
end
""",
    ),
    "juniper_junos": _Shape(
        """\
version 22.4R3-S2.11;
system {
    host-name $name;
    root-authentication {
        encrypted-password "$s1"; ## SECRET-DATA
    }
    login {
        user backup {
            uid 2001;
            class super-user;
            authentication {
                encrypted-password "$s2"; ## SECRET-DATA
            }
        }
    }
    services {
        ssh;
    }
}
snmp {
    community $s3 {
        authorization read-only;
    }
}
interfaces {
""",
        """\
    ge-0/0/$i {
        description "$site";
        unit 0 {
            family ethernet-switching {
                vlan {
                    members vlan$vlan;
                }
            }
        }
    }
""",
        """\
    irb {
        unit 10 {
            family inet {
                address 192.0.2.$n/24;
            }
        }
    }
}
routing-options {
    static {
        route 0.0.0.0/0 next-hop 192.0.2.1;
    }
}
""",
    ),
    "aruba_aoscx": _Shape(
        """\
hostname $name
user admin group administrators password ciphertext $s1
ntp server 192.0.2.123
ntp enable
ssh server vrf default
vlan 1,10,20
""",
        """\
interface 1/1/$i
    description $site
    no shutdown
    vlan access $vlan
""",
        """\
interface vlan 10
    ip address 192.0.2.$n/24
snmp-server community $s2
tacacs-server host 192.0.2.50 key ciphertext $s3
ip route 0.0.0.0/0 192.0.2.1
https-server vrf default
""",
    ),
    "hp_comware": _Shape(
        """\
#
 version 7.1.070, Release 3507P02
#
 sysname $name
#
 irf mac-address persistent timer
#
vlan 10
 description staff
#
vlan 20
 description guests
#
""",
        """\
interface GigabitEthernet1/0/$i
 port link-mode bridge
 description $site
 port access vlan $vlan
#
""",
        """\
 snmp-agent
 snmp-agent community read cipher $s1
#
radius scheme central
 primary authentication 192.0.2.50
 key authentication cipher $s2
#
local-user backup class manage
 password hash $s3
 service-type ssh
 authorization-attribute user-role network-admin
#
return
""",
    ),
    "mikrotik_routeros": _Shape(
        """\
/interface bridge
add name=bridge1 vlan-filtering=yes
/interface wireless security-profiles
set [ find default=yes ] supplicant-identity=MikroTik wpa2-pre-shared-key=$s1
/snmp community
set [ find default=yes ] name=$s2
/ip ipsec identity
add peer=branch secret=$s3
/ip address
add address=192.0.2.$n/24 interface=bridge1 network=192.0.2.0
/interface bridge port
""",
        """\
add bridge=bridge1 comment="$site" interface=ether$i pvid=$vlan
""",
        """\
/ip route
add dst-address=0.0.0.0/0 gateway=192.0.2.1
/system identity
set name=$name
/system ntp client
set enabled=yes
""",
    ),
    "fortinet_fortios": _Shape(
        """\
config system global
    set hostname "$name"
    set timezone "Etc/UTC"
end
config system admin
    edit "backup"
        set accprofile "super_admin"
        set password ENC $s1
    next
end
config system interface
""",
        """\
    edit "port$i"
        set vdom "root"
        set ip 198.51.100.$n 255.255.255.0
        set alias "$site"
        set type physical
    next
""",
        """\
end
config vpn ipsec phase1-interface
    edit "branch"
        set interface "port1"
        set psksecret ENC $s2
    next
end
config system snmp community
    edit 1
        set name "$s3"
    next
end
config router static
    edit 1
        set gateway 198.51.100.1
        set device "port1"
    next
end
""",
    ),
    "vyos": _Shape(
        """\
set firewall global-options all-ping 'enable'
""",
        """\
set interfaces ethernet eth$i address '198.51.100.$n/24'
set interfaces ethernet eth$i description '$site'
set interfaces ethernet eth$i vif $vlan description 'vlan $vlan'
""",
        """\
set protocols static route 0.0.0.0/0 next-hop 192.0.2.1
set service snmp community $s1 authorization 'ro'
set service ssh port '22'
set system host-name '$name'
set system login user backup authentication encrypted-password '$s2'
set vpn ipsec authentication psk branch secret '$s3'
""",
    ),
    "frr": _Shape(
        """\
frr version 8.4.4
frr defaults traditional
hostname $name
log syslog informational
service integrated-vtysh-config
!
""",
        """\
interface eth$i
 description $site
 ip address 198.51.100.$n/24
exit
!
""",
        """\
router bgp 65001
 bgp router-id 192.0.2.$n
 neighbor 192.0.2.2 remote-as 65002
 neighbor 192.0.2.2 password $s1
exit
!
line vty
exit
!
end
""",
    ),
    "linux": _Shape(
        """\
# file: /etc/hostname
$name

# file: /etc/network/interfaces
auto lo
iface lo inet loopback

""",
        """\
auto eth$i
iface eth$i inet static
    # $site
    address 198.51.100.$n/24

""",
        """\
auto wlan0
iface wlan0 inet dhcp
    wpa-psk $s1

# end of files
""",
    ),
}


#: What a secret of this place looks like: the hash formats are those the platform prints, the values made up.
_FORMS: Final = {
    "cisco_ios": {1: "$9${0:.14}${1:.43}", 2: "$9${0:.14}${1:.43}", 4: "{hex:.24}"},
    "cisco_nxos": {1: "$5${0:.6}${1:.43}", 2: "0x{hex:.32}", 3: "0x{hex:.32}"},
    "cisco_asa": {1: "$sha512$5000${0:.22}==${1:.22}==", 4: "$sha512$5000${0:.22}==${1:.22}=="},
    "arista_eos": {1: "$6${0:.16}${1:.80}", 2: "$6${0:.16}${1:.80}", 4: "{hex:.24}"},
    "juniper_junos": {1: "$6${0:.8}${1:.80}", 2: "$6${0:.8}${1:.80}"},
    "aruba_aoscx": {1: "AQBape{1:.80}=", 3: "AQBape{1:.60}="},
    "hp_comware": {1: "$c$3${1:.60}==", 2: "$c$3${1:.60}==", 3: "$h$6${0:.16}${1:.80}=="},
    "vyos": {2: "$6$rounds=656000${0:.16}${1:.80}"},
}


def _secret(platform: str, name: str, seed: int, number: int) -> str:
    digest = hashlib.sha512(f"{platform} {name} {seed} {number}".encode())
    letters = base64.b64encode(digest.digest(), altchars=b"xy").decode().rstrip("=")
    form = _FORMS.get(platform, {}).get(number, "S{1:.15}")
    return form.format(letters[::-1], letters, hex=digest.hexdigest().upper())


def secrets_of(platform: str, name: str, *, seed: int = 0) -> tuple[str, ...]:
    """The secrets that stand in ``configuration_for`` with the same arguments."""
    text = "".join(_SHAPES[platform])
    return tuple(_secret(platform, name, seed, number) for number in range(1, 10) if f"$s{number}" in text)


def is_simulated(platform: str) -> bool:
    """Whether there are made-up configurations of this platform."""
    return platform in _SHAPES


def configuration_for(platform: str, name: str, *, size_kb: float = 4, seed: int = 0) -> str:
    """A configuration of about ``size_kb`` kilobytes, the same for the same arguments.

    ``seed`` changes secrets, descriptions and addresses. The lines that a platform prints anew at each reading
    are not in it: the simulated device adds them.
    """
    shape = _SHAPES[platform]
    values = {f"s{n}": _secret(platform, name, seed, n) for n in range(1, 10)}
    start = int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:4], "big")

    def filled(part: str, i: int) -> str:
        site = EXAMPLE_SITES[(start + i * i) % len(EXAMPLE_SITES)]
        return Template(part).substitute(
            values, name=name, i=i, n=2 + (start + i) % 250, site=site, vlan=(10, 20)[(start + i) % 2]
        )

    parts = [filled(shape.head, 0), filled(shape.tail, 0)]
    size, wanted = sum(map(len, parts)), size_kb * 1000
    interfaces: list[str] = []
    while not interfaces or size < wanted:
        interfaces.append(filled(shape.interface, len(interfaces) + 1))
        size += len(interfaces[-1])
    return parts[0] + "".join(interfaces) + parts[1]
