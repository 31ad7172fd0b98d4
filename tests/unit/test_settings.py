"""Settings: defaults < config.toml < config.d/*.toml < variables, and every fault told in one pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from devicevault.errors import ConfigurationError, ExitCode, Fault
from devicevault.settings import Settings, load_settings, load_settings_with_origins, mask_passwords, sentinel


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def faults_of(config: Path | None, text: str | None = None, environ: Mapping[str, str] | None = None) -> list[Fault]:
    if config is not None and text is not None:
        config.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ or {})
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    return list(caught.value.faults)


def only_fault(config: Path, text: str, environ: Mapping[str, str] | None = None) -> Fault:
    (fault,) = faults_of(config, text, environ)
    return fault


CONTRACT = [
    ("broker_url", "DEVICEVAULT_BROKER_URL", "amqp://guest:guest@localhost:5672//"),
    ("result_backend", "DEVICEVAULT_RESULT_BACKEND", ""),
    ("broker_api", "DEVICEVAULT_BROKER_API", "http://guest:guest@localhost:15672/api/"),
    ("redis_url", "DEVICEVAULT_REDIS_URL", "redis://localhost:6379/1"),
    ("results_stream", "DEVICEVAULT_RESULTS_STREAM", "device:results"),
    ("database_url", "DEVICEVAULT_DATABASE_URL", "sqlite:////var/lib/devicevault/devicevault.db"),
]
OTHER_VALUES = {
    "broker_url": "redis://other/0",
    "result_backend": "redis://other/2",
    "broker_api": "https://other/api/",
    "redis_url": "redis://other/1",
    "results_stream": "other",
    "database_url": "postgresql://other/db",
}


@pytest.mark.parametrize(("name", "variable", "default"), CONTRACT)
def test_the_contracts_names_and_defaults_hold(name: str, variable: str, default: str) -> None:
    assert getattr(Settings(), name) == default
    loaded = load_settings_with_origins(Path("/dev/null"), {variable: OTHER_VALUES[name]})
    assert getattr(loaded.settings, name) == OTHER_VALUES[name]
    assert str(loaded.origin(name)) == variable


@pytest.mark.parametrize(
    ("broker", "backend", "followed"),
    [
        ("amqp://h//", "", "rpc://"),
        ("redis://h/0", "", "redis://h/0"),
        ("redis://a/0;redis://b/0", "", "redis://a/0"),
        ("amqp://h//", "redis://h/2", "redis://h/2"),
    ],
)
def test_the_result_backend_follows_the_broker_unless_set(broker: str, backend: str, followed: str) -> None:
    assert Settings(broker_url=broker, result_backend=backend).result_backend_url == followed


def test_the_default_file_need_not_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("devicevault.settings.load.DEFAULT_CONFIG", tmp_path / "none" / "config.toml")
    assert load_settings(environ={}) == Settings()


def test_drop_ins_go_over_the_file_in_the_order_of_their_names_and_variables_over_both(config: Path) -> None:
    config.write_text('results_stream = "file"\n[worker]\nconcurrency = 1\ndrain_s = 1\n[ssh]\nattempts = 1\n')
    drop_ins = config.parent / "config.d"
    drop_ins.mkdir()
    (drop_ins / "20-b.toml").write_text("[worker]\nconcurrency = 3\n")
    (drop_ins / "10-a.toml").write_text("[worker]\nconcurrency = 2\ndrain_s = 2\n")
    (drop_ins / "90-notes.txt").write_text("not a settings file")
    (drop_ins / ".30-editor.toml").write_text("broken [")
    loaded = load_settings_with_origins(config, {"DEVICEVAULT_SSH__ATTEMPTS": "4"})
    settings = loaded.settings
    assert (settings.results_stream, settings.worker.concurrency, settings.worker.drain_s) == ("file", 3, 2)
    assert settings.ssh.attempts == 4
    assert {key: str(origin) for key, origin in loaded.origins.items()} == {
        "results_stream": f"{config}:1",
        "worker.concurrency": f"{drop_ins}/20-b.toml:2",
        "worker.drain_s": f"{drop_ins}/10-a.toml:3",
        "ssh.attempts": "DEVICEVAULT_SSH__ATTEMPTS",
    }
    assert str(loaded.origin("log.level")) == "default"
    assert loaded.files == (config, drop_ins / "10-a.toml", drop_ins / "20-b.toml")


def test_the_variable_names_the_file(config: Path) -> None:
    config.write_text('results_stream = "named"\n')
    assert load_settings(environ={"DEVICEVAULT_CONFIG": str(config)}).results_stream == "named"


def test_a_file_named_by_the_variable_must_exist(config: Path) -> None:
    (fault,) = faults_of(None, environ={"DEVICEVAULT_CONFIG": str(config)})
    assert fault.source == "DEVICEVAULT_CONFIG"
    assert str(config) in fault.problem


def test_a_file_named_by_the_option_must_exist(config: Path) -> None:
    (fault,) = faults_of(config)
    assert fault.source == str(config)
    assert "config sample" in fault.fix


def test_every_scalar_can_be_set_by_a_variable_and_lists_are_written_as_in_the_file() -> None:
    settings = load_settings(
        Path("/dev/null"),
        {
            "DEVICEVAULT_WORKER__CONCURRENCY": "7",
            "DEVICEVAULT_SSH__DEADLINE_S": "30.5",
            "DEVICEVAULT_FLOWER__PASSWORD": "hidden",
            "DEVICEVAULT_INVENTORY__CSV_COLUMNS": '["name", "address", "platform"]',
            "DEVICEVAULT_INVENTORY__CSV_PLATFORMS": '{ios = "cisco_ios"}',
            "DEVICEVAULT_VAULT__PUBLIC_KEY": "/srv/vault.pub",
        },
    )
    assert settings.worker.concurrency == 7
    assert settings.ssh.deadline_s == 30.5
    assert settings.flower.password.get_secret_value() == "hidden"
    assert settings.inventory.csv_columns == ("name", "address", "platform")
    assert settings.inventory.csv_platforms == {"ios": "cisco_ios"}
    assert settings.vault.public_key == Path("/srv/vault.pub")


def test_an_empty_variable_counts_as_not_set(config: Path) -> None:
    config.write_text('results_stream = "file"\n')
    assert load_settings(config, {"DEVICEVAULT_RESULTS_STREAM": ""}).results_stream == "file"


def test_other_programs_variables_are_let_alone() -> None:
    assert load_settings(Path("/dev/null"), {"DEVICE": "x", "PATH": "/bin", "devicevault_x": "y"}) == Settings()


# --- groups


def test_a_group_changes_only_what_it_says(config: Path) -> None:
    config.write_text(
        "[worker]\nconcurrency = 50\n[ssh]\nattempts = 3\n"
        '[groups.dmz]\ncredential = "dmz"\nworker.concurrency = 4\nssh = {algorithms = "legacy"}\n[groups.lab]\n'
    )
    settings = load_settings(config, {"DEVICEVAULT_GROUPS__DMZ__SSH__DEADLINE_S": "20"})
    dmz = settings.for_group("dmz")
    assert (dmz.worker.concurrency, dmz.worker.drain_s) == (4, 30)
    assert (dmz.ssh.algorithms, dmz.ssh.deadline_s, dmz.ssh.attempts) == ("legacy", 20, 3)
    assert settings.for_group("lab").worker.concurrency == 50
    assert settings.for_group("not-declared") == settings
    assert set(settings.groups) == {"dmz", "lab"}


def test_a_variable_finds_the_declared_group_whose_name_has_a_hyphen(config: Path) -> None:
    config.write_text("[groups.branch-2]\n")
    settings = load_settings(config, {"DEVICEVAULT_GROUPS__BRANCH_2__WORKER__CONCURRENCY": "9"})
    assert settings.for_group("branch-2").worker.concurrency == 9


def test_a_group_can_be_set_by_variables_alone() -> None:
    settings = load_settings(Path("/dev/null"), {"DEVICEVAULT_GROUPS__DMZ__WORKER__CONCURRENCY": "9"})
    assert settings.for_group("dmz").worker.concurrency == 9


@pytest.mark.parametrize("name", ["DMZ", "a__b", "-a", "a-", "ü", "a b", "a.b"])
def test_a_group_needs_a_well_formed_name(config: Path, name: str) -> None:
    fault = only_fault(config, f'[groups."{name}"]\nworker.concurrency = 1\n')
    assert fault.line == 2
    assert "group" in fault.problem


def test_an_empty_group_with_a_bad_name_is_told_too(config: Path) -> None:
    fault = only_fault(config, "[groups.DMZ]\n")
    assert (fault.source, fault.line, fault.key) == (str(config), 1, "groups.DMZ")


# --- faults


def test_every_fault_is_found_in_one_pass_with_its_file_line_and_key(config: Path) -> None:
    faults = faults_of(
        config,
        'brokr_url = "x"\n[worker]\nconcurrency = 0\n[ssh]\nalgorithms = "modren"\n'
        "[worker]\ndrain_s = 1\n[consumer]\nnme = 1\n",
        {"DEVICEVAULT_FLOWER__PORT": "70000", "DEVICEVAULT_WORKER__CONCURENCY": "3"},
    )
    told = [(Path(fault.source).name, fault.line, fault.key) for fault in faults]
    assert told == [
        ("config.toml", 1, "brokr_url"),
        ("config.toml", 3, "worker.concurrency"),
        ("config.toml", 5, "ssh.algorithms"),
        ("config.toml", 6, "worker"),
        ("config.toml", 9, "consumer.nme"),
        ("DEVICEVAULT_WORKER__CONCURENCY", None, ""),
        ("DEVICEVAULT_FLOWER__PORT", None, ""),
    ]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('brokr_url = "redis://x"', "'broker_url'"),
        ("[wroker]\nconcurrency = 3", "'worker'"),
        ("[worker]\nconcurency = 3", "'concurrency'"),
        ("concurrency = 3", "worker.concurrency"),
        ("[groups.dmz.ssh]\ndeadline = 3", "'deadline_s'"),
        ("[groups.dmz]\ndeadline_s = 3", "ssh.deadline_s"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(config: Path, text: str, fix: str) -> None:
    assert fix in only_fault(config, text).fix


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("DEVICEVAULT_BROKR_URL", "DEVICEVAULT_BROKER_URL"),
        ("DEVICEVAULT_WORKER_CONCURRENCY", "DEVICEVAULT_WORKER__CONCURRENCY"),
        ("DEVICEVAULT_CONFG", "DEVICEVAULT_CONFIG"),
        ("DEVICEVAULT_GROUPS__DMZ__WORKER__CONCURENCY", "DEVICEVAULT_GROUPS__DMZ__WORKER__CONCURRENCY"),
        ("DEVICEVAULT_broker_url", "DEVICEVAULT_BROKER_URL"),
        ("DEVICEVAULT_WORKER", "DEVICEVAULT_WORKER__"),
        ("DEVICEVAULT_GROUPS__DMZ", "DEVICEVAULT_GROUPS__DMZ"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest(config: Path, variable: str, nearest: str) -> None:
    fault = only_fault(config, "[groups.dmz]\n", {variable: "3"})
    assert fault.source == variable
    assert nearest in fault.fix


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[worker]\nconcurrency = 0", "at least 1, not 0"),
        ("[worker]\nconcurrency = 2.5", "whole number"),
        ('[worker]\nconcurrency = "many"', "whole number"),
        ("[worker]\nconcurrency = true", "a number, not true or false"),
        ("[ssh]\ndeadline_s = inf", "finite"),
        ("[ssh]\ndeadline_s = nan", "finite"),
        ("[ssh]\nconnect_timeout_s = 0", "more than 0"),
        ("results_stream = 3", "text in quotes"),
        ('results_stream = ""', "at least 1 character"),
        ('[ssh]\nalgorithms = "old"', "'modern' or 'legacy'"),
        ('[inventory]\npath = "devices.toml"', "absolute path"),
        ("ssh = 3", "table of settings"),
        ("groups = 3", "table of settings"),
        ("[worker.concurrency]\nx = 3", "whole number"),
    ],
)
def test_a_bad_value_is_told_in_words(config: Path, text: str, words: str) -> None:
    fault = only_fault(config, text)
    assert words in str(fault)
    assert fault.line is not None


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("broker_url", "http://:s3cret@host/", "amqp://"),
        ("broker_url", "amqp://u:s3/cret@host:5672//", "%2F"),
        ("broker_url", "amqp://u:s3cret@:5672//", "no host"),
        ("broker_url", "redis://:s3cret@host/x", "number of a Redis database"),
        ("broker_url", "amqp://u:s3cret@a;http://b", "amqp://"),
        ("result_backend", "amqp://u:s3cret@host", "rpc://"),
        ("broker_api", "amqp://u:s3cret@host", "http://"),
        ("redis_url", "amqp://u:s3cret@host", "redis://"),
        ("database_url", "mysql://u:s3cret@host/db", "postgresql://"),
        ("database_url", "sqlite:///relative.db?key=s3cret", "four slashes"),
        ("database_url", "postgresql://u:s3cret@host:port/db", "port"),
        ("database_url", "postgresql://u:s3cret@[host]/db", "brackets"),
        ("redis_url", "redis://:s3cret@[host/1", "brackets"),
        ("redis_url", "redis://:s3cret@host/1 ", "space"),
        ("redis_url", "sentinel://:s3cret@host/1", "does not say which master"),
        ("redis_url", "sentinel://:s3cret@a,/1?master=vault", "without a host"),
        ("redis_url", "sentinel://:a?s3cret@a/1?master=vault", "%3F"),
        ("redis_url", "sentinel://:s3cret@a:x/1?master=vault", "port"),
        ("redis_url", "sentinel://:s3cret@a/one?master=vault", "number of a Redis database"),
        ("redis_url", "sentinel://:s3cret@a/1?master=vault&password=s3cret", "is not known there"),
        ("redis_url", "sentinel://:s3cret@a/1?master=vault&replicas=all", "replicas=1"),
        ("broker_url", "sentinel://:s3cret@a/1?master=vault", "RabbitMQ with quorum queues"),
        ("broker_url", " amqp://u:s3cret@host//", "space"),
        ("database_url", "postgresql://u:s3 cret@host/db", "%20"),
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_bad_url_is_told_without_its_password(
    config: Path, name: str, url: str, words: str, *, by_variable: bool
) -> None:
    environ = {f"DEVICEVAULT_{name.upper()}": url} if by_variable else {}
    fault = only_fault(config, "" if by_variable else f'{name} = "{url}"', environ)
    assert words in str(fault)
    assert "s3" not in str(fault)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("broker_url", "amqps://u:p@h//"),
        ("broker_url", "amqp://u:p@a//;amqp://u:p@b//"),
        ("broker_url", "redis://h"),
        ("broker_url", "redis+socket:///run/redis/redis.sock"),
        ("result_backend", "rpc://"),
        ("result_backend", "redis://h/2"),
        ("redis_url", "rediss://:p@h:6380/1"),
        ("redis_url", "unix:///run/redis/redis.sock?db=1"),
        ("redis_url", "sentinel://:p@a:26379,b,[::1]:26380/1?master=vault&sentinel_password=q&replicas=0"),
        ("redis_url", "sentinels://u:p@a:26379/1?master=vault&ssl_ca_certs=/etc/devicevault/authority.pem"),
        ("redis_url", "redis://[::1]:6379/1"),
        ("database_url", "postgresql://u:p@h/db"),
        ("database_url", "postgresql+psycopg://u:p@h/db"),
        ("database_url", "postgresql:///db?host=/run/postgresql"),
    ],
)
def test_a_good_url_is_taken_as_it_is(config: Path, name: str, url: str) -> None:
    config.write_text(f'{name} = "{url}"\n')
    assert getattr(load_settings(config, {}), name) == url


def test_sentinels_by_ipv6_address_are_taken_where_python_is_strict(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12's Python and all later ones take brackets around a whole host only (CVE-2025-0938)."""

    def strict(url: str) -> SplitResult:
        parts = urlsplit(url)
        if "[" in parts.netloc.rpartition("@")[2][1:]:
            raise ValueError("Invalid IPv6 URL")
        return parts

    monkeypatch.setattr(sentinel, "urlsplit", strict)
    url = "sentinel://:p@a:26379,[::1]:26380/1?master=vault"
    config.write_text(f'redis_url = "{url}"\n')
    assert load_settings(config, {}).redis_url == url


def test_a_syntax_error_is_told_with_its_line(config: Path) -> None:
    fault = only_fault(config, "[worker]\nconcurrency =\n")
    assert (fault.source, fault.line) == (str(config), 2)


def test_a_syntax_error_in_one_file_does_not_hide_the_faults_of_another(config: Path) -> None:
    drop_in = config.parent / "config.d" / "1.toml"
    drop_in.parent.mkdir()
    drop_in.write_text("[worker]\nconcurrency = 0\n")
    faults = faults_of(config, "[worker\n")
    assert [fault.source for fault in faults] == [str(config), str(drop_in)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read the file")
def test_a_file_this_user_may_not_read_is_an_error_in_words(config: Path) -> None:
    config.write_text("")
    config.chmod(0)
    for folder in config.parents[:3]:
        folder.chmod(0o755)
    child = os.fork()
    if child == 0:  # the test's own process stays root
        os.setuid(65534)
        try:
            load_settings(config, {})
        except ConfigurationError as error:
            os._exit(0 if "may not read" in str(error) and str(config) in str(error) else 1)
        except BaseException:  # noqa: BLE001 - the child must end here, whatever happens
            os._exit(2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- the chain of times


def test_a_connection_must_fit_into_its_session(config: Path) -> None:
    fault = only_fault(config, "[ssh]\nconnect_timeout_s = 120\n")
    assert (fault.key, fault.line) == ("ssh.connect_timeout_s", 2)


def test_all_attempts_must_end_before_rabbitmq_takes_the_task_away(config: Path) -> None:
    fault = only_fault(config, "[ssh]\ndeadline_s = 870\n")
    assert (fault.key, fault.line) == ("ssh.deadline_s", 2)
    assert "amqp_consumer_timeout_s" in fault.fix
    config.write_text("[ssh]\ndeadline_s = 862\n")
    assert load_settings(config, {}).ssh.lock_horizon_s == 2 * 862 + 15 + 60


def test_short_sessions_need_little_time_beside_them(config: Path) -> None:
    """Else a worker that died on a Redis broker could not be replaced within seconds."""
    config.write_text(
        'broker_url = "redis://localhost"\n[ssh]\ndeadline_s = 4\nconnect_timeout_s = 2\nattempts = 1\n'
        "[queue]\nredis_visibility_timeout_s = 7\n"
    )
    assert load_settings(config, {}).ssh.lock_horizon_s == 6


def test_a_worker_may_not_wait_long_for_its_turn(config: Path) -> None:
    fault = only_fault(config, "[groups.slow.worker]\nsessions_per_s = 0.1\n")
    assert (fault.key, fault.line) == ("groups.slow.worker.sessions_per_s", 2)
    config.write_text("[groups.slow.worker]\nsessions_per_s = 0.1\nconcurrency = 6\n")
    assert load_settings(config, {}).for_group("slow").worker.sessions_per_s == 0.1


def test_all_attempts_must_end_before_redis_gives_the_task_to_another_worker(config: Path) -> None:
    text = 'broker_url = "redis://localhost"\n[queue]\nredis_visibility_timeout_s = 300\n'
    fault = only_fault(config, text)
    assert (fault.key, fault.line) == ("queue.redis_visibility_timeout_s", 3)


def test_a_groups_own_times_are_checked_too(config: Path) -> None:
    fault = only_fault(config, "[groups.slow.ssh]\ndeadline_s = 3000\n")
    assert (fault.key, fault.line) == ("groups.slow.ssh.deadline_s", 2)


def test_one_wrong_time_is_told_once_though_every_group_inherits_it(config: Path) -> None:
    only_fault(config, "[ssh]\ndeadline_s = 3000\n[groups.a]\n[groups.b]\n")


def test_times_out_of_order_are_told_beside_other_faults(config: Path) -> None:
    faults = faults_of(config, "[worker]\nconcurrency = 0\n[ssh]\ndeadline_s = 3000\n[groups.BAD]\nssh.attempts = 1\n")
    assert [fault.key for fault in faults] == ["worker.concurrency", "ssh.deadline_s", "groups.BAD"]


def test_times_are_not_judged_by_the_default_that_stands_in_for_a_wrong_value(config: Path) -> None:
    fault = only_fault(config, '[ssh]\ndeadline_s = "long"\nconnect_timeout_s = 600\n')
    assert fault.key == "ssh.deadline_s"


# --- secrets


def test_no_secret_is_in_the_settings_repr(config: Path) -> None:
    config.write_text(
        'broker_url = "amqp://u:canary1@h//"\nredis_url = "redis://:canary2@h/1"\n'
        'database_url = "postgresql://u:canary3@h/d"\nbroker_api = "http://u:canary4@h/"\n'
        'result_backend = "redis://:canary5@h/1"\n[flower]\npassword = "canary6"\n'
    )
    loaded = load_settings_with_origins(config, {})
    assert "canary" not in repr(loaded) + str(loaded.settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().worker.concurrency = 3  # type: ignore[misc]


def test_redis_is_not_asked_for_quorum_queues(config: Path) -> None:
    fault = only_fault(config, 'broker_url = "redis://h/0"\n[queue]\ntype = "quorum"\n')
    assert (fault.key, fault.line) == ("queue.type", 3)
    assert fault.problem == "is quorum, and the broker is Redis, whose lists have no type"


def test_a_sentinels_password_is_masked_as_the_servers_is() -> None:
    url = "sentinel://:canary1@a:26379,b:26379/1?master=vault&sentinel_password=canary2&replicas=1"
    masked = mask_passwords(url)
    assert masked == "sentinel://:********@a:26379,b:26379/1?master=vault&sentinel_password=********&replicas=1"
