"""Devices whose SSH lets everybody in: the terminal asks for name and password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from devicevault.collector.collect import collect
from devicevault.demo.fleet import Fleet
from devicevault.messages import CollectResult
from devicevault.platforms import Platforms
from devicevault.platforms.page import Platform
from devicevault.platforms.player import Player
from devicevault.platforms.recording import Recording
from tests.collecting import make_context, request_for
from tests.playing import PlayedDevice

PAGE = Platform.model_validate(
    {
        "name": "example",
        "title": "Example",
        "session": {"prompt": "r1# ?", "ssh_auth": "none"},
        "artifacts": [{"commands": ["show config"]}],
        "complete": {"ends_with": r"^end\Z"},
    }
)
RECORDING = Recording.model_validate(
    {
        "login": [
            {"shows": "\n\nUser Name:", "expects": "{username}"},
            {"shows": "Password:", "expects": "{password}"},
        ],
        "prompt": "r1#",
        "answers": {"show config": "version 1\nend\n"},
    }
)


def collected(folder: Path, password: str) -> tuple[CollectResult, PlayedDevice]:
    device = PlayedDevice("r1", "example", password=password, password_methods=(), player=Player(RECORDING, PAGE))
    context = replace(make_context(folder, attempts=1), platforms=Platforms({"example": PAGE}))
    with Fleet([device]) as fleet:
        return collect(request_for(fleet, device), context), device


def test_the_terminal_is_told_name_and_password(tmp_path: Path) -> None:
    result, device = collected(tmp_path, "correct horse")
    assert (result.status, result.error_message) == ("success", "")
    assert result.host_key.startswith("ssh-ed25519 ")
    assert device.player.typed == ["show config", "exit"]


def test_a_refused_password_is_told_as_such(tmp_path: Path) -> None:
    """And offered only once, though the device would ask again."""
    result, device = collected(tmp_path, "another")
    assert (result.status, result.error) == ("failure", "auth")
    assert "refused user 'backup' with the password of credential 'lab'" in result.error_message
    assert device.player.typed == []
