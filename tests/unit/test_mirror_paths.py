"""Names in the mirror are safe, whatever the inventory holds."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.outputs.mirror.paths import NAME_MAX_BYTES, media_type_of, path_for, path_key, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("core-sw1", "core-sw1"),
        ("core-sw1.example.net", "core-sw1.example.net"),
        ("..", "_"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("a/b\\c", "a_b_c"),
        (".git", "_git"),
        ("-rf", "_rf"),
        ("two words", "two_words"),
        ("tab\tline\nend", "tab_line_end"),
        ("Zürich", "Zürich"),
        (unicodedata.normalize("NFD", "Zürich"), "Zürich"),
        ("東京-01", "東京-01"),
        ("left\u202eright", "left_right"),
        ("nul", "_nul"),
        ("COM1.site", "_COM1.site"),
        ("dot.", "dot"),
        ("git~1", "git_1"),
        ("", "_"),
    ],
)
def test_a_name_becomes_one_safe_component(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text())
def test_any_text_becomes_one_safe_component(name: str) -> None:
    safe = safe_name(name)
    assert PurePosixPath(safe).parts == (safe,)
    assert safe not in (".", "..")
    assert not re.search(r"[\x00-\x20\x7f/\\\"~]", safe)
    assert not safe.startswith((".", "-"))
    assert len(safe.encode()) <= NAME_MAX_BYTES + 9
    assert safe_name(safe) == safe or len(safe.encode()) > NAME_MAX_BYTES


def test_a_long_name_is_cut_and_told_apart() -> None:
    first, second = safe_name("é" * 300 + "1"), safe_name("é" * 300 + "2")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) < 200


class TestPlaces:
    def place(self, name: str, device_id: str = "id", *, current: str = "", taken: tuple[str, ...] = ()) -> str:
        keys = {path_key(path) for path in taken}
        return path_for(
            "dmz",
            name,
            device_id,
            "running",
            "text/plain",
            is_main=True,
            current=current,
            is_taken=lambda path: path_key(path) in keys,
        )

    def test_a_file_is_named_by_group_and_device(self) -> None:
        assert self.place("core-sw1") == "dmz/core-sw1.cfg"

    @pytest.mark.parametrize("taken", ["dmz/core.cfg", "dmz/CORE.cfg", "dmz/cOre.cfg"])
    def test_a_name_another_file_has_gets_a_digest_of_the_id(self, taken: str) -> None:
        found = self.place("core", taken=(taken,))
        assert re.fullmatch(r"dmz/core~[0-9a-f]{8}\.cfg", found)
        assert self.place("core", "another", taken=(taken, found)) not in (taken, found)

    def test_names_that_differ_in_their_unicode_form_alone_are_told_apart(self) -> None:
        assert path_key("dmz/ﬁle.cfg") == path_key("dmz/file.cfg")

    def test_a_file_stays_where_it_is_when_the_plain_name_becomes_free(self) -> None:
        current = self.place("core", taken=("dmz/core.cfg",))
        assert self.place("core", current=current) == current

    @pytest.mark.parametrize(
        ("artifact", "media_type", "is_main", "expected"),
        [
            ("vdom root", "application/json", False, "dmz/fw.vdom_root.json"),
            ("startup", "text/plain; charset=utf-8", False, "dmz/fw.startup.cfg"),
            ("running", "text/xml", True, "dmz/fw.xml"),
            # The mirror tells of a file; it does not hold it.
            ("backup.ucs", "application/octet-stream", True, "dmz/fw.ucs.txt"),
            ("backup.tar.gz", "application/octet-stream", False, "dmz/fw.backup.tar.gz.txt"),
            ("export", "application/zip", True, "dmz/fw.zip.txt"),
            ("image", "application/octet-stream", False, "dmz/fw.image.bin.txt"),
        ],
    )
    def test_an_ending_tells_what_is_in_the_file(
        self, artifact: str, media_type: str, is_main: bool, expected: str
    ) -> None:
        for kind in (media_type, media_type_of(expected)):  # as known, and as told by the file's own name
            path = path_for("dmz", "fw", "id", artifact, kind, is_main=is_main, current="", is_taken=lambda path: False)
            assert path == expected
