"""Recordings as text: whatever a device showed comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.platforms.recording import Recording
from devicevault.platforms.written import written

#: No surrogates: what a device sends is decoded without them.
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
HOSTILE = st.one_of(
    TEXT, st.sampled_from(["'''\n'''\n", "a\nb\n'", '"""\n\\\n', "\x1b[7m\r\n\x00\x7f\n", "\n\n", "{{same\n"])
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings") / "r1.toml"


@given(st.dictionaries(TEXT.filter(bool), HOSTILE, min_size=1, max_size=4), HOSTILE, HOSTILE)
def test_a_recording_comes_back_as_it_was(file: Path, answers: dict[str, str], greeting: str, prompt: str) -> None:
    recording = Recording.model_validate(
        {
            "platform": "example",
            "greeting": greeting,
            "prompt": prompt,
            "echo": False,
            "login": [{"shows": greeting, "expects": "{password}"}],
            "pager": {"asks": prompt, "wipes": greeting, "lines": 3, "off": list(answers)},
            "answers": answers,
            "expect": {"secrets": [prompt], "version": greeting},
        }
    )
    file.write_text(written(recording), encoding="utf-8", newline="")
    assert Recording.load(file) == recording


def test_what_a_person_reads_stands_as_it_is(file: Path) -> None:
    text = written(Recording.model_validate({"prompt": "r1#", "answers": {"show run": 'version 1\nkey "x\\y"\nend\n'}}))
    assert "\"show run\" = '''\nversion 1\nkey \"x\\y\"\nend\n'''\n" in text
