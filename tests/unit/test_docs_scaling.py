"""What docs/scaling.md shows can be written as it stands, and is what was tested."""

from __future__ import annotations

import re
from pathlib import Path

from devicevault.declared_queues import DELIVERY_LIMIT
from devicevault.settings import Settings, load_settings
from devicevault.settings.sentinel import OWN, sentinel_url
from tests.sentinels import SERVER_SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()


def test_the_settings_shown_are_taken(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    config = tmp_path / "config.toml"
    config.write_text(text)
    settings = load_settings(config, {})
    assert settings.queue.type == "quorum"
    assert settings.broker_url.count(";") == 2
    told = sentinel_url(settings.redis_url)
    assert [port for _, port in told.sentinels] == [26379] * 3
    assert (told.master, told.replicas, told.database) == ("vault", 1, 1)
    assert settings != Settings()


def test_every_part_of_a_sentinel_url_is_explained() -> None:
    assert all(f"`{name}`" in PAGE for name in OWN)


def test_redis_servers_are_told_what_the_tested_ones_are() -> None:
    _, _, rest = PAGE.partition("<!-- redis -->\n```\n")
    assert rest.partition("```\n<!-- /redis -->")[0].splitlines() == list(SERVER_SETTINGS)


def test_the_limit_of_deliveries_is_the_one_told() -> None:
    assert DELIVERY_LIMIT == 1_000_000
    assert "set to a million" in PAGE
