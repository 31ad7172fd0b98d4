"""What the pages on SSH, jump hosts, APIs and files show can be written as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devicevault.credentials import CredentialStore
from devicevault.inventory import load_inventory
from devicevault.platforms import Platforms
from devicevault.platforms.asked import page_for
from devicevault.settings import JumpSettings, Settings, load_settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("ssh.md", "jump-hosts.md", "apis-and-files.md")
PLATFORMS = Platforms.load()
EXAMPLES = [
    (page, match[1], match[2])
    for page in PAGES
    for match in re.finditer(
        r"```toml\n# (?:/etc/devicevault/)?(\w+)\.toml[^\n]*\n(.*?)```", (DOCS / page).read_text(), re.DOTALL
    )
]
BASTION = '[jumps.bastion]\naddress = "192.0.2.1"\ncredential = "bastion"\n'


def test_every_example_says_what_file_it_belongs_to() -> None:
    assert len(EXAMPLES) == sum((DOCS / page).read_text().count("```toml\n") for page in PAGES)


@pytest.mark.parametrize(("page", "file", "text"), EXAMPLES)
def test_an_example_loads(page: str, file: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"{file}.toml"
    if file == "config":
        path.write_text(text if "[jumps.bastion]" in text or "jump" not in text else text + BASTION)
        assert load_settings(path, {}) != Settings()
    elif file == "credentials":
        path.write_text(text)
        path.chmod(0o640)
        assert CredentialStore.load(path).names()
    else:
        path.write_text('[defaults]\nplatform = "cisco_ios"\n' + text)
        settings = Settings.model_validate({"inventory": {"path": path}})
        found = load_inventory(settings, PLATFORMS.names())
        assert len(found) == text.count("[devices.")
        for device in found:
            page_for(PLATFORMS.get(device.platform), device.options)


def test_every_key_of_a_jump_is_explained_with_its_default() -> None:
    text = (DOCS / "jump-hosts.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert list(rows) == list(JumpSettings.model_fields)
    for key in ("kind", "host_keys", "algorithms", "sessions", "idle_s"):
        default = JumpSettings.model_fields[key].default
        assert rows[key] == (f'`"{default}"`' if isinstance(default, str) else str(default))
