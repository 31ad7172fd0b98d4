"""TOML files are read with the lines of their keys, and every duplicate is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from devicevault import tomlscan
from devicevault.errors import ConfigurationError
from devicevault.nearest import did_you_mean, nearest
from devicevault.tomlfile import parse_toml, read_toml

PATH = Path("devices.toml")


def faults_in(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_toml(PATH, text)
    return [str(fault) for fault in caught.value.faults]


def test_lines_of_tables_and_keys() -> None:
    document = parse_toml(
        PATH,
        """# first
[defaults]
port = 22  # [not.a.table]

[devices.core-sw1]
tags = [
  "a",   # "quote
  "[x]",
]
address = '''
[devices.core-sw1]
'''
options.level = 1
[devices."sw.2"]
options = { a = 1, b = "}" }
[[hops]]
name = "one"
[[hops]]
name = "two"
[hops.sub]
key = 1
""",
    )
    assert document.line_of("defaults", "port") == 3
    assert document.line_of("devices", "core-sw1", "tags") == 6
    assert document.line_of("devices", "core-sw1", "address") == 10
    assert document.line_of("devices", "core-sw1", "options", "level") == 13
    assert document.line_of("devices", "sw.2", "options") == 15
    assert document.line_of("hops", 1, "name") == 19
    assert document.line_of("hops", 1, "sub", "key") == 21


def test_a_missing_key_is_told_at_its_table() -> None:
    document = parse_toml(PATH, "[defaults]\nport = 22\n")
    assert document.line_of("defaults", "group") == 1
    assert document.line_of("nothing") is None


def test_every_duplicate_is_found_and_the_first_counts() -> None:
    document = parse_toml(PATH, "[a.x]\nk = 1\nk = 2\n[a.y]\n[a.x]\nk = 3\nz = 4\n# end\n[a.y]\n[a.z]\nk = 5\n")
    assert [str(fault) for fault in document.duplicates] == [
        "devices.toml:3: a.x.k: this key is already there, on line 2; remove or rename one of the two",
        "devices.toml:5: a.x: this table is already there, on line 1; remove or rename one of the two",
        "devices.toml:9: a.y: this table is already there, on line 4; remove or rename one of the two",
    ]
    assert document.data == {"a": {"x": {"k": 1}, "y": {}, "z": {"k": 5}}}
    assert document.line_of("a", "z", "k") == 11


def test_a_duplicate_with_a_value_of_many_lines_is_set_aside_whole() -> None:
    document = parse_toml(PATH, 'a = 1\na = """\nb = 2\n"""\nc = 3\n')
    assert document.data == {"a": 1, "c": 3}


def test_duplicates_and_a_syntax_error_are_told_together() -> None:
    found = faults_in("[a]\n[a]\nk = nonsense\n[b]\n[b]\nx = oops\n[c]\ny = bad\n")
    assert [line.split(":")[1] for line in found] == ["2", "5", "8"]


@pytest.mark.parametrize(
    ("text", "line", "fix"),
    [
        ("a = 1\npassword = hunter2\n", 2, "double quotes"),
        ('a = "x\n', 1, ""),
        ("a = [1\n", 2, "close the list"),
        ('pass word = "x"\n', 1, "KEY = VALUE"),
        ("a.b = 1\n[a]\n", 2, "only once"),
        ("- name: x\n", 1, "KEY = VALUE"),
    ],
)
def test_a_syntax_error_has_its_line_and_a_remedy(text: str, line: int, fix: str) -> None:
    (found,) = faults_in(text)
    assert f"devices.toml:{line}: not TOML" in found
    assert fix in found
    assert "hunter2" not in found


@pytest.mark.parametrize("value", ["[" * 9999 + "]" * 9999, "1" * 9999], ids=["deep", "long"])
def test_what_is_beyond_pythons_limits_is_a_fault(value: str) -> None:
    assert faults_in(f"a = {value}\n") == ["devices.toml: a number has too many digits, or tables are nested too deep"]


def test_control_characters_of_a_key_do_not_reach_the_terminal() -> None:
    (fault,) = parse_toml(PATH, '"\\u001b[2J" = 1\n"\\u001b[2J" = 2\n').duplicates
    assert fault.key == '"\\u001b[2J"'


def test_read_toml_raises_duplicates(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[a]\n[a]\n")
    with pytest.raises(ConfigurationError, match=r"x\.toml:2: a: this table is already there, on line 1"):
        read_toml(file)


def test_windows_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xef\xbb\xbf[a]\r\nk = 1\r\n")
    document = read_toml(file)
    assert document.data == {"a": {"k": 1}}
    assert document.line_of("a", "k") == 2


@pytest.mark.parametrize(
    ("content", "told"), [(None, "there is no such file"), (b"a = 1\nb = '\xe4'\n", "x.toml:2: is not UTF-8 text")]
)
def test_an_unreadable_file_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "x.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told):
        read_toml(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_toml(tmp_path)


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
VALUES = st.one_of(
    st.integers(-9, 9).map(str),
    st.text(alphabet='a#[]="{}', max_size=8).map(json.dumps),
    st.sampled_from(
        ['"""\n[t]\na = 1\n"""', "'''\n# x\n[[t]]\n'''", '[\n"]",\n# ]\n]', "{ a = 1 }", "'\"'", '""', "''"]
    ),
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=5), st.integers(0, 2))
def test_the_scanner_finds_every_line_the_parser_reads(tables: dict[str, dict[str, str]], blanks: int) -> None:
    text, line = "", 1
    expected: dict[tuple[str, ...], int] = {}
    for table, values in tables.items():
        expected[table,] = line
        pieces = [f"[{json.dumps(table, ensure_ascii=False)}] # x"]
        line += 1
        for key, value in values.items():
            expected[table, key] = line
            pieces.append(f"{json.dumps(key, ensure_ascii=False)} = {value}" + "\n" * blanks)
            line += 1 + value.count("\n") + blanks
        text += "\n".join(pieces) + "\n"
    tomli.loads(text)  # the test's own text is TOML
    assert tomlscan.first_lines(text) == expected
    assert tomlscan.duplicates(text) == []


@given(st.text(alphabet="ab.=[]{}\"'#\n\\ ", max_size=120))
@settings(max_examples=500)
def test_whatever_the_text_only_a_configuration_error_is_raised(text: str) -> None:
    try:
        document = parse_toml(PATH, text)
    except ConfigurationError:
        return
    for path in tomlscan.first_lines(text):
        found: Any = document.data
        for key in path:
            found = found[key]


def test_an_open_string_of_a_megabyte_is_scanned_at_once() -> None:
    """Hostile text costs time in proportion to its length."""
    tomlscan.duplicates('a = """' + 'x\\"' * 300_000)
    tomlscan.duplicates("a = " + "[" * 300_000)


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("Cisco_IOS", ["cisco_ios", "linux"]) == "cisco_ios"
    assert nearest("zzz", ["cisco_ios", "linux"]) == ""
    assert did_you_mean("defalts", ["defaults"]) == "did you mean 'defaults'?"
