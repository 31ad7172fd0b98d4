"""Plugins: found where they are installed, loaded when they are needed, and never a worker's undoing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest
from click.testing import CliRunner

from devicevault.cli import main
from devicevault.collector.collect import CollectorContext, collect
from devicevault.doctor.plugins import look
from devicevault.errors import PluginUnusable
from devicevault.inventory import load_inventory
from devicevault.messages import Status
from devicevault.platforms import Platforms
from devicevault.platforms.asked import page_for
from devicevault.plugins import Plugins
from devicevault.plugins.https import Https
from devicevault.plugins.scp import Scp
from devicevault.plugins.sftp import Sftp
from devicevault.settings import Settings
from devicevault.settings.schema import InventorySettings
from tests.collecting import CREDENTIALS, PLATFORMS, a_request, make_context, told
from tests.ssh_services import ssh_service

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


def blocks(language: str) -> list[str]:
    """The examples of the page on plugins."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on Python's path, into which the packages of :func:`install` go."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install(folder: Path, package: str, code: str, entry_point: str) -> None:
    """What a wheel of this package leaves behind."""
    (folder / f"{package}.py").write_text(code)
    metadata = folder / f"{package}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[devicevault.plugins]\n{entry_point}\n")


def test_every_page_of_ours_fits_its_plugin() -> None:
    plugins = Plugins()
    pages = [page for page in PLATFORMS if page.plugin]
    assert len(pages) >= 6
    for page in pages:
        plugins.fit(page)


@pytest.mark.parametrize(
    "ask",
    [
        "/api/?type=commit&cmd=<commit/>",
        "/api/?type=config&action=set&xpath=/config",
        "/api/?type=import&category=configuration",
        "/api/?type=op&cmd=<request><restart/></request>",
        "/api/?type=keygen&user=admin",
        "/api/core/system/reboot",
        "POST /api/core/firmware/update",
        "POST /api/v2/cmdb/system/admin",
        "DELETE /api/v2/cmdb/system/admin/x",
        "/api/x HTTP/1.1\r\nX: y",
        "https://192.0.2.1/",
    ],
)
def test_a_request_that_might_change_a_device_is_refused(ask: str) -> None:
    assert list(Https().check({}, [ask])) != []


def test_settings_and_paths_that_can_not_be_are_told() -> None:
    [told] = Https().check({"authorisation": "basic"}, ["/api"])
    assert "there is no setting 'authorisation' (did you mean 'authorization'?)" in told
    assert list(Https().check({"refused": "x"}, [])) != []
    assert [len(list(Scp().check({}, [ask]))) for ask in ("sys_config", "-t", "a;reboot", "$(x)", "a b")] == [
        0,
        1,
        1,
        1,
        1,
    ]
    assert [len(list(Sftp().check({}, [ask]))) for ask in ("/a/*.ucs", "/*/a.ucs")] == [0, 1]


EXPORT = b"\x00\x01" + b"binary" * 50_000


async def export(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """The appliance of the documentation."""
    assert process.command == "export full"
    process.stdout.write(b"EXPORT %d\n" % len(EXPORT) + EXPORT)
    await process.stdout.drain()
    process.exit(0)


def test_the_example_of_the_documentation_is_installed_and_collects(tmp_path: Path) -> None:
    """A wheel built as the page tells, in a folder that a Python of its own has on its path."""
    [code] = blocks("python")
    [project] = [block for block in blocks("toml") if "[build-system]" in block]
    [page] = [block for block in blocks("toml") if 'name = "appliance"' in block]
    source = tmp_path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(project)
    (source / "devicevault_appliance.py").write_text(code)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "appliance.toml").write_text(page)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    target = tmp_path / "installed"
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(target), str(source)],
        check=True,
        timeout=120,
        capture_output=True,
    )
    context = make_context(tmp_path, CREDENTIALS)
    pages = Platforms.load(tmp_path / "pages")
    sys.path.insert(0, str(target))
    try:
        context = CollectorContext(context.settings, context.credentials, pages, context.sealer)
        with ssh_service(process=export) as server:
            asked = {"address": "127.0.0.1", "port": server.port, "credentials": ("lab",)}
            result = collect(a_request(platform="appliance", **asked), context)
    finally:
        sys.path.remove(str(target))
    assert (result.status, result.error_message) == (Status.SUCCESS, "")
    assert result.is_binary
    assert result.artifacts[0].text.startswith(f"export.bin: {len(EXPORT)} bytes, ")


BROKEN = "import nothing_of_this_name\n"
PAGE = 'title = "Own"\n[plugin]\nname = "own"\n'


def test_a_plugin_that_can_not_be_imported_breaks_its_own_devices_only(installed: Path, tmp_path: Path) -> None:
    install(installed, "broken_one", BROKEN, "own = broken_one:Own")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "own.toml").write_text(PAGE)
    context = make_context(tmp_path, CREDENTIALS)
    context = CollectorContext(
        context.settings, context.credentials, Platforms.load(tmp_path / "pages"), context.sealer
    )
    result = collect(a_request(platform="own", credentials=("lab",)), context)
    assert (result.status, result.error) == (Status.FAILURE, "platform")
    assert "plugin 'own' of broken_one 1.2 can't be loaded: ModuleNotFoundError: No module" in result.error_message
    assert collect(a_request(platform="noop"), context).status == Status.SUCCESS


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)\n", "can't be loaded: SystemExit"),
        ("def Own(:\n", "can't be loaded: SyntaxError"),
        ("class Own:\n    def __init__(self, x): ...\n", "can't be loaded: TypeError"),
        ("class Own:\n    pass\n", "lacks check() or open()"),
    ],
)
def test_what_is_no_plugin_is_told(code: str, said: str, installed: Path, request: pytest.FixtureRequest) -> None:
    package = f"wrong_{abs(hash(code))}"
    install(installed, package, code, f"own = {package}:Own")
    with pytest.raises(PluginUnusable, match=re.escape(said)):
        Plugins().get("own")


def test_no_package_takes_the_place_of_a_plugin_of_ours(installed: Path) -> None:
    install(installed, "impostor", "class Own: ...\n", "sftp = impostor:Own")
    plugins = Plugins()
    assert isinstance(plugins.get("sftp"), Sftp)
    assert [found.problem for found in plugins.look() if found.package == "impostor"] == [
        "the name 'sftp' is taken by DeviceVault"
    ]


def test_an_unknown_plugin_names_the_nearest() -> None:
    with pytest.raises(PluginUnusable, match="there is no plugin 'stfp' on this host") as raised:
        Plugins().get("stfp")
    assert "did you mean 'sftp'" in raised.value.fix


def test_a_plugin_that_fails_in_the_middle_is_named_and_its_words_are_not_told(installed: Path, tmp_path: Path) -> None:
    code = (
        "from contextlib import contextmanager\n"
        "class Own:\n"
        "    def check(self, settings, asks):\n        return []\n"
        "    @contextmanager\n    def open(self, device):\n"
        "        raise KeyError('cAnArY ' + device.credential.password)\n        yield\n"
    )
    install(installed, "failing_one", code, "own = failing_one:Own")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "own.toml").write_text(PAGE)
    context = make_context(tmp_path, CREDENTIALS)
    pages = Platforms.load(tmp_path / "pages")
    context = CollectorContext(context.settings, context.credentials, pages, context.sealer)
    with ssh_service() as server:
        asked = {"address": "127.0.0.1", "port": server.port, "credentials": ("lab",)}
        result = collect(a_request(platform="own", **asked), context)
    assert "plugin 'own' failed with KeyError" in result.error_message
    assert "cAnArY" not in told(result)


def test_files_are_named_by_the_last_part_of_their_path() -> None:
    page = page_for(PLATFORMS.get("sftp_file"), {"files": ["/a/x.tgz", "/b/x.tgz", "/c/*.ucs"]})
    assert [source.name for source in page.artifacts] == ["a_x.tgz", "b_x.tgz", "newest.ucs"]
    assert all(source.binary for source in page.artifacts)
    assert [source.ask for source in page_for(PLATFORMS.get("sftp_file"), {"files": "/a"}).artifacts] == [("/a",)]
    mistakes: list[dict[str, object]] = [{}, {"files": []}, {"files": ""}, {"files": [1]}]
    for wrong in mistakes:
        with pytest.raises(PluginUnusable, match="does not say what to fetch"):
            page_for(PLATFORMS.get("sftp_file"), wrong)


def devicevault(folder: Path, *arguments: str) -> str:
    config = folder / "config.toml"
    config.write_text(f'platforms_dir = "{folder}/pages"\n')
    return CliRunner().invoke(main, ["--config", str(config), *arguments]).stdout


def test_doctor_names_a_broken_plugin_and_the_platforms_that_lack_theirs(installed: Path, tmp_path: Path) -> None:
    install(installed, "broken_two", BROKEN, "own = broken_two:Own")
    install(installed, "good_one", "class Own:\n    check = open = print\n", "good = good_one:Own")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "own.toml").write_text(PAGE)
    (tmp_path / "pages" / "gone.toml").write_text(PAGE.replace('name = "own"', 'name = "gone"'))
    (tmp_path / "devices.toml").write_text(
        '[devices.a]\naddress = "192.0.2.1"\nplatform = "gone"\ncredential = "lab"\n'
    )
    settings = Settings(platforms_dir=tmp_path / "pages", inventory=InventorySettings(path=tmp_path / "devices.toml"))
    inventory = load_inventory(settings, Platforms.load(settings.platforms_dir).names(), None)
    told = {(finding.state, finding.text) for finding in look(settings, inventory)}
    assert ("ok", "good (good_one 1.2)") in told
    assert any(state == "fault" and "plugin 'own' of broken_two 1.2 can't be loaded" in text for state, text in told)
    assert any("devices of platform 'gone' can't be read from this host" in text for state, text in told)


def test_the_list_of_platforms_names_the_plugin(tmp_path: Path) -> None:
    assert "https: /api/core/backup" in devicevault(tmp_path, "platforms", "list")
    shown = json.loads(devicevault(tmp_path, "platforms", "show", "opnsense_api", "--json"))
    assert (shown["plugin"], shown["commands"]) == ("https", ["/api/core/backup/download/this"])
