"""A secret that slipped through the rules is taken out of database and stream, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis
from sqlalchemy import select, text

from devicevault.cli import main
from devicevault.compression import decompress
from devicevault.messages import CollectResult, LogLine, digest_of
from devicevault.store import Store, open_store, reader, write_results
from devicevault.store.models import Base, DeviceConfig
from devicevault.store.output_models import Notice
from devicevault.stream import encode
from tests.results import at, request, result

pytestmark = pytest.mark.services

SECRET = 'cAnAry-\u00e9-"leak"'
LEAKED = f"hostname sw\nfrobnicate with {SECRET}\nend\n"
CLEAN = LEAKED.replace(SECRET, "<secret hidden>")
STREAM = "device:results"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def run(database_url: str, redis_url: str, tmp_path: Path) -> Callable[..., Result]:
    config = tmp_path / "config.toml"
    config.write_text(f'database_url = "{database_url}"\nredis_url = "{redis_url}"\n')

    def run_command(*arguments: str) -> Result:
        words = ["--config", str(config), "scrub", *arguments]
        return CliRunner().invoke(main, words, input=SECRET + "\n", catch_exceptions=False)

    return run_command


@pytest.fixture(autouse=True)
def leaked(database_url: str) -> list[CollectResult]:
    """The secret in the texts of two devices, one of which has the clean text as well, and in words beside them."""
    results = [
        result(request("sw1"), "success", LEAKED),
        result(request("sw2"), "success", CLEAN),
        result(request("sw2", minutes=1), "success", LEAKED),
        result(
            request("sw3"),
            "failure",
            error="rejected",
            error_message=f"the device says {SECRET}",
            log=(LogLine(time=at(0), message=f"typed {SECRET}"),),
        ),
    ]
    with open_store(database_url, migrate=True) as store:
        write_results(store, results)
        with store.session() as session:
            diff = {"diff": [f"+frobnicate with {SECRET}"]}
            session.add(Notice(kind="changed", title="sw1 changed", data=diff, created_at=at(0)))
    return results


def everything(store: Store) -> str:
    """Every value of every table, as text."""
    shown: list[str] = []
    with store.reading() as session:
        for table in Base.metadata.sorted_tables:
            shown += [repr(tuple(row)) for row in session.execute(select(table))]
    return "\n".join(shown)


def test_nothing_in_the_database_holds_it_any_more(
    run: Callable[..., Result], database_url: str, tmp_path: Path
) -> None:
    with open_store(database_url) as store:
        assert "cAnAry" in everything(store)
    done = json.loads(run("--json").stdout)["database"]
    assert (done["configs"], done["devices"], done["platforms"]) == (1, ["sw1", "sw2"], ["cisco_ios"])
    assert done["others"] == 3, "a message, a log and a notice"
    with open_store(database_url) as store:
        assert "cAnAry" not in everything(store)
        known = digest_of(LEAKED.encode())
        assert known not in everything(store), "a digest of a known text lets a short secret be guessed"
        with store.reading() as session:
            for name, texts in (("sw1", [CLEAN]), ("sw2", [CLEAN, CLEAN])):
                device = reader.find_device(session, name)
                found = [reader.revision(session, device, artifact="running", number=n + 1) for n in range(len(texts))]
                assert [one.text for one in found] == texts
            assert len(session.scalars(select(DeviceConfig)).all()) == 1
    for path in tmp_path.glob("devicevault.db*"):
        assert b"cAnAry" not in path.read_bytes(), path


def test_what_a_rule_hides_from_now_on_makes_no_new_revision(run: Callable[..., Result], database_url: str) -> None:
    run()
    with open_store(database_url) as store:
        report = write_results(store, [result(request("sw1", minutes=9), "success", CLEAN, rules_digest="new")])
    assert report.changes == []


def test_a_dry_run_changes_nothing(run: Callable[..., Result], database_url: str) -> None:
    with open_store(database_url) as store:
        before = everything(store)
        told = run("--dry-run")
        assert "it stands in 1 text and 3 other values" in told.stdout
        assert everything(store) == before


def test_the_streams_tail_is_cleaned_and_what_is_not_stored_is_left(
    run: Callable[..., Result], redis_url: str, leaked: list[CollectResult]
) -> None:
    long = result(request("long"), "success", LEAKED + "!\n" * 9000)
    with Redis.from_url(redis_url) as redis:
        redis.xgroup_create(STREAM, "devicevault", id="0", mkstream=True)
        for one in (leaked[0], leaked[1], long, leaked[3], leaked[2]):
            redis.xadd(STREAM, encode(one))
        ids = [entry[0] for entry in redis.xrange(STREAM)]
        redis.xreadgroup("devicevault", "me", {STREAM: ">"}, count=4)
        redis.xack(STREAM, "devicevault", *ids[:3])
        found = json.loads(run("--json").stdout)["stream"]
        assert found == {"deleted": 2, "left": 2, "dead": []}
        assert [entry[0] for entry in redis.xrange(STREAM)] == [ids[1], ids[3], ids[4]]


def test_without_redis_the_database_is_cleaned_all_the_same(database_url: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'database_url = "{database_url}"\nredis_url = "redis://127.0.0.1:1/1"\n')
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    done = CliRunner().invoke(main, ["--config", str(config), "scrub", "--secret-file", str(secret)])
    assert (done.exit_code, "the stream was not looked at" in done.stderr) == (0, True)
    with open_store(database_url) as store, store.reading() as session:
        assert session.execute(text("SELECT count(*) FROM device_configs")).scalar() == 1


def test_a_key_of_several_lines_leaves_database_stream_and_every_object_of_the_mirror(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Two devices show it, each with lines of its own length; a notice and a later revision hold parts of it."""
    mirror, config, secret = tmp_path / "mirror.git", tmp_path / "config.toml", tmp_path / "leaked.pem"
    config.write_text(
        f'database_url = "{database_url}"\nredis_url = "{redis_url}"\n[mirror]\nenabled = true\npath = "{mirror}"\n'
    )
    body = "".join(f"{number:04}KeyByte" for number in range(70))
    secret.write_text(pem(body, 64))
    as_shown = textwrap.indent(pem(body, 40), " ")
    with open_store(database_url) as store, Redis.from_url(redis_url) as redis:
        shown = [
            result(request("sw1", minutes=1), "success", f"begin\n{pem(body, 64)}end\n"),
            result(request("sw2", minutes=2), "success", f"begin\n{as_shown}end\n"),
            result(request("sw2", minutes=3), "success", f"begin\n{as_shown[:400]}"),
        ]
        write_results(store, shown)
        redis.xgroup_create(STREAM, "devicevault", id="0", mkstream=True)
        redis.xadd(STREAM, encode(shown[1]))
        redis.xadd(STREAM + ":dead", encode(shown[0]))
        redis.xreadgroup("devicevault", "me", {STREAM: ">"}, count=1)
        redis.xack(STREAM, "devicevault", *(entry[0] for entry in redis.xrange(STREAM)))
        with store.session() as session:
            difference = "\n".join(f"+{line}" for line in pem(body, 64).splitlines()[:5])
            session.add(Notice(kind="changed", title="x", data={"diff": difference}, created_at=at(3)))

        def run(*words: str) -> Result:
            return CliRunner().invoke(main, ["--config", str(config), *words], catch_exceptions=False)

        assert run("git", "rebuild").exit_code == 0
        assert "0007KeyByte" in raw_objects(mirror)
        done = json.loads(run("scrub", "--secret-file", str(secret), "--json").stdout)
        assert (done["database"]["configs"], done["database"]["others"], done["stream"]["deleted"]) == (3, 1, 1)
        assert done["mirror"]["commits"]
        assert len(done["stream"]["dead"]) == 1
        assert "KeyByte" not in everything(store)
        with store.reading() as session:
            texts = [decompress(config.compressed).decode() for config in session.scalars(select(DeviceConfig))]
        assert "begin\n <secret hidden>\nend\n" in texts
        assert "begin\n<secret hidden>\nend\n" in texts
        assert "KeyByte" not in "".join(texts)
        assert "KeyByte" not in raw_objects(mirror)
        assert "<secret hidden>" in raw_objects(mirror)
        assert redis.xlen(STREAM) == 0


def pem(body: str, width: int) -> str:
    lines = textwrap.wrap(body, width)
    return "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"]) + "\n"


def raw_objects(repository: Path) -> str:
    """Every object there is, whether a commit holds it still or not."""
    command = ["git", "-C", str(repository), "cat-file", "--batch", "--batch-all-objects"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode(errors="replace")


@pytest.mark.parametrize("secret", ["", "abc", "a\n  \nbc", "-----BEGIN RSA PRIVATE KEY-----", "x" * 50_001])
def test_what_is_no_secret_is_refused(database_url: str, tmp_path: Path, secret: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'database_url = "{database_url}"\n')
    done = CliRunner().invoke(main, ["--config", str(config), "scrub"], input=secret + "\n")
    assert done.exit_code == 2
