"""Secrets, wherever real devices write them."""

from __future__ import annotations

import re
import time

import pytest

from devicevault.collector.normalise import normalise
from devicevault.collector.redact import PLACEHOLDER
from devicevault.platforms import Platforms

PAGES = Platforms.load()

#: Platform, lines of a configuration. What stands in ⟦⟧ is secret, all else must stay as it is.
LINES = [
    ("cisco_ios", "enable secret 9 ⟦$9$nhEmQVczB7dqsO$X.HsgL6x1il0RxkOSSvyQYwucySCt7qFm4v7pqCxkKM⟧"),
    ("cisco_ios", "enable password level 7 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "enable password ⟦cisco⟧"),
    ("cisco_ios", "username admin privilege 15 secret 5 ⟦$1$mERr$hx5rVt7rPNoS4wqbXKX7m0⟧"),
    ("cisco_ios", "username admin password 0 ⟦two words⟧"),
    ("cisco_ios", "snmp-server community ⟦public⟧ RO 10"),
    ("cisco_ios", "snmp-server host 10.0.0.1 ⟦public⟧"),
    ("cisco_ios", "snmp-server host 10.0.0.1 vrf Mgmt traps version 2c ⟦public⟧  config"),
    ("cisco_ios", "snmp-server host 10.0.0.1 informs version 3 auth keeper  bfd"),
    ("cisco_ios", "tacacs-server host 10.0.0.1 key 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "radius-server key ⟦shared⟧"),
    ("cisco_ios", "radius server one\n address ipv4 10.0.0.1 auth-port 1812\n key 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "key chain ospf\n key 1\n  key-string 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "crypto isakmp key ⟦presha⟧ address 10.0.0.1"),
    ("cisco_ios", "crypto keyring one\n  pre-shared-key address 10.0.0.1 255.255.255.0 key ⟦presha⟧"),
    ("cisco_ios", "crypto ikev2 keyring one\n peer two\n  pre-shared-key local ⟦presha⟧"),
    ("cisco_ios", "router bgp 65000\n neighbor 10.0.0.1 password 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "interface e0\n ip ospf message-digest-key 1 md5 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "interface e0\n ip ospf authentication-key 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "interface e0\n standby 1 authentication md5 key-string 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "interface e0\n standby 1 authentication ⟦word⟧"),
    ("cisco_ios", "interface e0\n ppp chap password 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "interface e0\n ip nhrp authentication ⟦word⟧"),
    ("cisco_ios", "ntp authentication-key 1 md5 ⟦104D000A0618⟧ 7"),
    ("cisco_ios", "line vty 0 4\n password 7 ⟦0822455D0A16⟧\n login"),
    ("cisco_ios", "archive\n path ftp://backup:⟦p@ss⟧@10.0.0.1/$h"),
    ("cisco_ios", "service password-encryption\nno service password-recovery\npassword encryption aes"),
    ("cisco_ios", "ip community-list 1 permit 65000:1"),
    ("cisco_ios", "route-map one permit 10\n set community 65000:100 additive"),
    ("cisco_nxos", "username admin password 5 ⟦$5$HBMPDI$ab12/xyz⟧  role network-admin"),
    ("cisco_nxos", "snmp-server user admin network-admin auth md5 ⟦0x1234abcd⟧ priv ⟦0x1234abcd⟧ localizedkey"),
    ("cisco_nxos", "snmp-server community ⟦public⟧ group network-operator"),
    ("cisco_nxos", "snmp-server host 10.0.0.1 traps version 2c ⟦public⟧"),
    ("cisco_nxos", 'tacacs-server host 10.0.0.1 key 7 ⟦"fewhg123"⟧'),
    ("cisco_nxos", "key chain one\n  key 0\n    key-string 7 ⟦070c285f4d06⟧"),
    ("cisco_nxos", "router bgp 1\n  neighbor 10.0.0.1\n    password 3 ⟦9125d59c18a9b015⟧"),
    ("cisco_nxos", "feature password encryption aes\nno password strength-check"),
    ("cisco_asa", "enable password ⟦$sha512$5000$AAAA==$BBBB==⟧ pbkdf2"),
    ("cisco_asa", "passwd ⟦2KFQnbNIdI.2KYOU⟧ encrypted"),
    ("cisco_asa", "username me password ⟦3USUcOPFUiMCO4Jk⟧ encrypted privilege 15"),
    ("cisco_asa", "aaa-server one (inside) host 10.0.0.1\n key ⟦shared⟧\n ldap-login-password ⟦shared⟧"),
    ("cisco_asa", "tunnel-group 10.0.0.1 ipsec-attributes\n ikev1 pre-shared-key ⟦presha⟧"),
    ("cisco_asa", "tunnel-group 10.0.0.1 ipsec-attributes\n ikev2 remote-authentication pre-shared-key ⟦presha⟧"),
    ("cisco_asa", "snmp-server host inside 10.0.0.1 community ⟦public⟧ version 2c"),
    ("cisco_asa", "failover key ⟦word⟧\nfailover lan unit primary"),
    ("cisco_asa", "password encryption aes\ncrypto key generate\ntelnet timeout 5"),
    ("arista_eos", "username admin role network-admin secret sha512 ⟦$6$eucN5ngreuExDgwS$xnD7T8jO⟧"),
    ("arista_eos", "snmp-server community ⟦public⟧ ro"),
    ("arista_eos", "router bgp 1\n   neighbor 10.0.0.1 password 7 ⟦IX4F0B7E==⟧"),
    ("arista_eos", "tacacs-server host 10.0.0.1 key 7 ⟦070E234F1F5B4A⟧"),
    ("arista_eos", "ntp authentication-key 1 md5 7 ⟦070E234F1F5B4A⟧"),
    ("arista_eos", "management security\n   password minimum length 8"),
    ("juniper_junos", '        encrypted-password ⟦"$6$abc$defghi"⟧; ## SECRET-DATA'),
    ("juniper_junos", '    authentication-key ⟦"$9$abcdefgh"⟧; ## SECRET-DATA'),
    ("juniper_junos", '        pre-shared-key ascii-text ⟦"$9$abcdefgh"⟧; ## SECRET-DATA'),
    ("juniper_junos", '        pre-shared-key ascii-text ⟦"$9$abcdefgh"⟧;'),
    ("juniper_junos", "snmp {\n    community ⟦public⟧ {\n        authorization read-only;\n    }\n}"),
    ("juniper_junos", "policy-options {\n    community mine members 65000:1;\n}"),
    ("juniper_junos", "    password {\n        minimum-length 10;\n    }"),
    ("aruba_aoscx", "user admin group administrators password ciphertext ⟦AQBapQ2Ymg==⟧"),
    ("aruba_aoscx", "radius-server host 10.0.0.1 key ciphertext ⟦AQBapQ2Ymg==⟧ vrf mgmt"),
    ("aruba_aoscx", "snmp-server community ⟦public⟧"),
    ("aruba_aoscx", "snmp-server host 10.0.0.1 trap version v2c community ⟦public⟧ vrf mgmt"),
    ("aruba_aoscx", "snmpv3 user me auth sha auth-pass ciphertext ⟦AQBa=⟧ priv aes priv-pass ciphertext ⟦AQBa=⟧"),
    ("hp_comware", " password hash ⟦$h$6$abc$defghijkl==⟧"),
    ("hp_comware", " key authentication cipher ⟦$c$3$abcdefghijkl==⟧"),
    ("hp_comware", " snmp-agent community read ⟦public⟧"),
    ("hp_comware", " snmp-agent community write cipher ⟦$c$3$abcdef==⟧ acl 2000"),
    ("hp_comware", " snmp-agent target-host trap address udp-domain 10.0.0.1 params securityname ⟦public⟧ v2c"),
    ("hp_comware", " snmp-agent target-host trap address udp-domain 10.0.0.1 params securityname me v3 privacy"),
    ("hp_comware", " password simple ⟦letmein⟧"),
    ("mikrotik_routeros", "add name=one password=⟦pw⟧ profile=default service=l2tp"),
    ("mikrotik_routeros", 'set wpa2-pre-shared-key=⟦"two \\" words"⟧ mode=dynamic-keys'),
    ("mikrotik_routeros", "add private-key=⟦abc=⟧ listen-port=13231 name=wg0"),
    ("mikrotik_routeros", "add address=10.0.0.1 secret=⟦shared⟧ service=login"),
    ("mikrotik_routeros", "/snmp community\nset [ find ] addresses=::/0 name=⟦public⟧\n/interface\nset 0 name=ether1"),
    ("fortinet_fortios", "    edit 1\n        set passwd ⟦ENC SH2abc+/def==⟧"),
    ("fortinet_fortios", "        set psksecret ⟦ENC abc+/defabc+/def==⟧"),
    ("fortinet_fortios", "        set psksecret ⟦presha⟧"),
    ("fortinet_fortios", "config system snmp community\n    edit 1\n        set name ⟦public⟧\n    next\nend"),
    ("fortinet_fortios", "config system other\n    edit 1\n        set name kept\n    next\nend"),
    ("vyos", "set interfaces wireguard wg0 private-key ⟦'abc='⟧"),
    ("vyos", "set interfaces wireguard wg0 peer one public-key 'abc='"),
    ("vyos", "set system login user me authentication public-keys one key 'AAAAB3Nza'"),
    ("vyos", "set system login radius server 10.0.0.1 key ⟦'shared'⟧"),
    ("vyos", "set service snmp community ⟦public⟧ authorization 'ro'"),
    ("vyos", "set policy route-map one rule 1 set community '65000:1'"),
    ("vyos", "set vpn ipsec authentication psk one secret ⟦'presha'⟧"),
    ("frr", "router bgp 1\n neighbor 10.0.0.1 password ⟦word⟧"),
    ("frr", "password 8 ⟦abcdefgh⟧\nenable password ⟦abc⟧"),
    ("frr", "interface e0\n ip ospf message-digest-key 1 md5 ⟦word⟧"),
    ("linux", "# file: /etc/snmp/snmpd.conf\nrocommunity ⟦public⟧ 10.0.0.0/8"),
    ("linux", "# file: /etc/wireguard/wg0.conf\n[Interface]\nPrivateKey = ⟦abc=⟧\nListenPort = 51820"),
    ("linux", "# file: /etc/netplan/a.yaml\n        password: ⟦\"wifi word\"⟧"),
    ("linux", "# file: /etc/ssh/sshd_config\nPasswordAuthentication no\nPermitRootLogin prohibit-password"),
    ("cisco_ios", "aaa group server tacacs+ T\n server-private 10.0.0.1 timeout 5 key 7 ⟦0822455D0A16⟧"),
    ("cisco_ios", "aaa group server radius R\n server-private 10.0.0.1 auth-port 1812 acct-port 1813 key ⟦word⟧"),
    ("cisco_ios", "snmp mib community-map  ⟦public⟧ engineid 8000"),
    ("cisco_nxos", "snmp-server host 10.0.0.1 use-vrf management version 2c ⟦public⟧"),
    ("cisco_nxos", "key chain k macsec\n  key 10\n    key-octet-string 7 ⟦0750⟧ cryptographic-algorithm AES_128_CMAC"),
    ("cisco_asa", "interface x\n authentication key eigrp 1 ⟦word⟧ key-id 1\n authentication mode eigrp 1 md5"),
    ("cisco_asa", "vpn load-balancing\n cluster key ⟦word⟧\n cluster ip address 10.0.0.1"),
    ("cisco_asa", "isakmp key ⟦presha⟧ address 10.0.0.1 netmask 255.255.255.255"),
    ("cisco_asa", "aaa-server R (inside) host 10.0.0.1\n radius-common-pw ⟦word⟧"),
    ("arista_eos", "mac security\n   profile p\n      key 0abc 7 ⟦070E234F1F5B4A⟧ fallback"),
    ("arista_eos", "router isis 1\n   authentication mode md5\n   authentication key 7 ⟦070E234F1F5B4A⟧ level-2"),
    ("arista_eos", "   exec /usr/bin/TerminAttr -cvaddr=10.0.0.1:9910 -cvauth=key,⟦word⟧ -cvvrf=MGMT"),
    ("arista_eos", "   exec /usr/bin/TerminAttr -cvauth=token-secure,/tmp/cv-onboarding-token -cvvrf=MGMT"),
    ("mikrotik_routeros", "add name=peer1 tcp-md5-key=⟦word⟧ templates=default"),
    ("mikrotik_routeros", "add cak=⟦0123⟧ ckn=4567 interface=ether1"),
    ("hp_comware", " ospf authentication-mode simple cipher ⟦$c$3$abcdef==⟧"),
    ("hp_comware", " ospf authentication-mode simple plain ⟦word⟧"),
    ("hp_comware", " isis authentication-mode md5 plain ⟦word⟧"),
    ("vyos", "set protocols isis area-password plaintext-password ⟦'word'⟧"),
    ("vyos", "set interfaces macsec macsec1 security mka cak ⟦'0123'⟧"),
    ("frr", "interface gre1\n ip nhrp authentication ⟦word⟧"),
    ("cisco_ios", ' action 2.0 mail server "ops:⟦word⟧@mail.example" to "a@example" from "b@example"'),
    ("cisco_ios", " destination-pattern sip:100@10.0.0.1\n session target sip:100@10.0.0.1"),
    ("cisco_asa", "failover key hex ⟦0123456789abcdef⟧\nfailover lan unit primary"),
    ("cisco_asa", "tunnel-group 10.0.0.1 ipsec-attributes\n ikev2 local-authentication pre-shared-key hex ⟦0123⟧"),
    ("vyos", "set protocols isis interface eth0 password md5 ⟦'word'⟧"),
    ("vyos", "set protocols nhrp tunnel tun100 cisco-authentication ⟦'word'⟧"),
    ("vyos", "set service monitoring telegraf influxdb authentication token ⟦'word'⟧"),
    ("mikrotik_routeros", 'add name=s source="/tool fetch user=u password=⟦\\"two words\\"⟧ mode=ftp"'),
    ("mikrotik_routeros", '/zerotier\nset zt1 identity=⟦"0a:0:0b:0c"⟧ name=zt1\n/ip ipsec identity\nadd peer=one'),
    (
        "fortinet_fortios",
        (
            "config system snmp community\n    edit 1\n        set name ⟦public⟧\n"
            "        config hosts\n            edit 1\n            next\n        end\n    next\n"
            "    edit 2\n        set name ⟦private⟧\n    next\nend\n"
            "config system other\n    edit 1\n        set name kept\n    next\nend"
        ),
    ),
    ("fortinet_fortios", '        set headers "Authorization: Bearer ⟦eyJhbGciOi⟧"'),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "marked"), LINES)
def test_a_secret_is_hidden_and_nothing_else(platform: str, marked: str) -> None:
    text = marked.replace("⟦", "").replace("⟧", "")
    normalised = normalise(PAGES.get(platform), text)
    assert normalised.text == re.sub("⟦[^⟧]*⟧", PLACEHOLDER, marked) + "\n"
    assert normalised.redacted == marked.count("⟦")


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAAcAnArY\n"


#: Each holds a secret that no platform's rules need know.
SUSPICIOUS = (
    KEY + "-----END OPENSSH PRIVATE KEY-----\n",
    KEY,
    "remote https://backup:cAnArY@host.example/path\n",
    "some password: cAnArY\n",
    "hash $6$salt$cAnArYcAnArY\n",
    "snmp thing community cAnArY\n",
    'x api-key "cAnArY"\n',
    'network={\n  psk="cAnArY"\n',
    "set foo ENC cAnArYcAnArY==\n",
)


@pytest.mark.parametrize("platform", PAGES.names())
def test_what_looks_like_a_secret_is_hidden_on_every_platform(platform: str) -> None:
    page = PAGES.get(platform)
    assert [text for text in SUSPICIOUS if "cAnArY" in normalise(page, f"one\n{text}two\n").text] == []


def test_a_changed_secret_is_a_change_though_it_is_hidden() -> None:
    page = PAGES.get("cisco_ios")
    one, two = (normalise(page, f"enable secret 9 $9${word}\n") for word in ("abcdef", "ghijkl"))
    assert one.text == two.text
    assert one.comparable != two.comparable


def test_a_secret_salted_anew_is_no_change() -> None:
    page = PAGES.get("fortinet_fortios")
    one, two = (normalise(page, f"    set passwd ENC {word}\n") for word in ("abcdefabcdef==", "ghijklghijkl=="))
    assert one.comparable == two.comparable


def test_a_secret_broken_over_two_lines_is_hidden_whole() -> None:
    """RouterOS breaks long lines anywhere, in a name or a value."""
    text = (
        '/interface wireless security-profiles\nadd name=x wpa2-pre-\\\n    shared-key="cAnA\\\n    rY cAnArY" mode=y\n'
    )
    shown = normalise(PAGES.get("mikrotik_routeros"), text).text
    assert f"add name=x wpa2-pre-shared-key={PLACEHOLDER} mode=y\n" in shown


def test_secrets_are_not_in_a_repr() -> None:
    assert "cAnArY" not in repr(normalise(PAGES.get("cisco_ios"), "enable secret cAnArY\n"))


HOSTILE = (
    "password " * 20_000,
    "-----BEGIN RSA PRIVATE KEY-----\n" * 5_000,
    'set private-key "-----BEGIN \n' * 5_000,
    "://a:" * 30_000,
    "snmp community " * 10_000,
    ' "' * 80_000,
    "$1$" * 50_000,
    "config system snmp community\n" * 4_000,
    "set x ENC " * 15_000,
    "key" + " 7" * 80_000,
    "\\\n    " * 30_000,
    "a" * 200_000 + "password",
)


@pytest.mark.parametrize("platform", PAGES.names())
def test_a_hostile_text_is_read_in_reasonable_time(platform: str) -> None:
    page = PAGES.get(platform)
    for text in HOSTILE:
        started = time.process_time()
        normalise(page, text)
        assert time.process_time() - started < 3, repr(text[:20])


def test_a_sessions_own_secrets_are_hidden_where_no_rule_looks() -> None:
    """As whole words only, and not when they are so short that a configuration is full of them."""
    page = PAGES.get("cisco_ios")
    text = "alias exec login cAnArY-22\nboot system flash:cAnArY-22x.bin\nboot system flash:cisco.bin\n"
    shown = normalise(page, text, ("cAnArY-22", "cisco", "")).text
    assert shown == "alias exec login <secret hidden>\nboot system flash:cAnArY-22x.bin\nboot system flash:cisco.bin\n"


@pytest.mark.parametrize(
    "secret", [r"a.(b)*[c]\d{2}", "with two words", '"quoted"-secret', "schlüssel-größe", "€uro€uro€"]
)
def test_a_sessions_own_secret_may_hold_any_sign(secret: str) -> None:
    normalised = normalise(PAGES.get("cisco_ios"), f"alias exec login {secret}\nend\n", (secret,))
    assert normalised.text == "alias exec login <secret hidden>\nend\n"
    assert secret in normalised.comparable


def test_a_word_that_comes_together_where_a_volatile_part_was_is_looked_at() -> None:
    page = PAGES.get("cisco_ios").model_copy(update={"volatile": (re.compile(r"pass(?P<volatile><\d+>)word"),)})
    assert normalise(page, "hostname a\npass<17>word HushHush1\n").text == f"hostname a\npassword {PLACEHOLDER}\n"
