"""A leaked secret is found as devices, JSON and differences write it, and nothing beside it is taken for it."""

from __future__ import annotations

import base64
import hashlib
import json
import textwrap

import pytest

from devicevault.leak import Leak

BODY = base64.b64encode(b"".join(hashlib.sha256(bytes([number])).digest() for number in range(40))).decode()
BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
LINES = textwrap.wrap(BODY, 64)
PEM = "\n".join([BEGIN, *LINES, END]) + "\n"
DUMP = "30820229 30820192 A0030201 02020101 300D0609\n2A864886 F70D0101 05050030 31312F30"


def hidden(secret: str, text: str) -> str:
    leak = Leak(secret)
    without = leak.hidden(text, "#")
    assert leak.is_in(text) == (without != text)
    return without


@pytest.mark.parametrize("secret", [PEM, PEM.replace("\n", "\r\n"), textwrap.indent(PEM, "  ")])
@pytest.mark.parametrize("width", [40, 64, 76, 2000])
def test_a_key_is_found_however_it_is_broken_into_lines(secret: str, width: int) -> None:
    shown = "\n".join([BEGIN, *textwrap.wrap(BODY, width), END])
    assert hidden(secret, f"before\n key\n{textwrap.indent(shown, '    ')}\nafter\n") == "before\n key\n    #\nafter\n"


def test_a_key_is_found_in_json_and_in_a_quoted_word() -> None:
    assert hidden(PEM, json.dumps({"key": PEM, "port": 1})) == '{"key": "#\\n", "port": 1}'
    assert hidden(PEM, 'private-key "' + PEM.replace("\n", "\\n") + '";\n') == 'private-key "#\\n";\n'


def test_lines_of_a_key_are_found_without_the_others() -> None:
    """As a difference shows them around a change, and where the rest was cut off."""
    difference = "\n".join([f" {LINES[-2]}", f" {LINES[-1]}", f" {END}", "+ntp server 10.0.0.1"])
    assert hidden(PEM, difference) == f" #\n #\n {END}\n+ntp server 10.0.0.1"
    assert hidden(BODY, f"said: {BODY[:200]}…, and more") == "said: #…, and more"


def test_a_dump_in_hexadecimal_is_found_by_groups_and_by_lines() -> None:
    first, second = DUMP.splitlines()
    assert hidden(DUMP, f" certificate 01\n  {first}\n  {second}\n  quit\n") == " certificate 01\n  #\n  quit\n"
    assert hidden(DUMP, f"+  {second}\n") == "+  #\n"
    assert hidden(DUMP.replace("\n", " "), f"  {first}\n  {second}\n") == "  #\n"


def test_a_long_word_is_found_where_the_device_broke_it() -> None:
    """RouterOS ends such a line with a backslash."""
    word = "S3cretOfMoreThanSixteenCharacters"
    assert hidden(word, f"set key={word[:20]}\\\n    {word[20:]} comment=x") == "set key=# comment=x"
    assert hidden(word, f"set key={word[:20]}\r\n{word[20:]}") == "set key=#"


def test_it_is_found_as_json_and_xml_write_it() -> None:
    secret = 'a&b<c>"é\\d'
    assert hidden(secret, f"x {secret} y") == "x # y"
    assert hidden(secret, json.dumps(secret)) == '"#"'
    assert hidden(secret, json.dumps(secret, ensure_ascii=False)) == '"#"'
    assert hidden(secret, "<k>a&amp;b&lt;c&gt;&quot;é\\d</k>") == "<k>#</k>"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("cisco", "description cis\nco-located"),
        ("correct horse", "correct\nhorses for courses".replace("horse", "mule")),
        (PEM, f"{BEGIN}\n{BODY[::-1]}\n{END}\n"),
        ("crypto pki certificate chain X\n certificate 01\n" + DUMP, "crypto pki certificate chain X\n quit"),
        ("interface GigabitEthernet1/0/1\n ip address 10.0.0.1 255.255.255.0", "interface GigabitEthernet1/0/1\n"),
        ("-" * 40 + "\nsecretive words", "-" * 40),
    ],
)
def test_what_is_not_the_secret_stays(secret: str, text: str) -> None:
    assert hidden(secret, text) == text
