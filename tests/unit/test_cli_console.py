"""How commands speak: colours on a terminal only, device texts as they are, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devicevault.cli.console import console, print_json, print_table, report, table
from devicevault.errors import ConfigurationError, DeviceVaultError, Fault
from devicevault.messages import CollectFacts

RED = "\x1b[1;31m"


def on_a_terminal(script: str, **environ: str) -> str:
    """What a script writes when its stdout is a real (pseudo) terminal."""
    leader, follower = os.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environ}
    with subprocess.Popen([sys.executable, "-c", script], stdout=follower, env=env) as child:
        os.close(follower)
        said = b""
        try:
            while part := os.read(leader, 4096):
                said += part
        except OSError:  # Linux tells the end of a terminal's output by EIO
            pass
        os.close(leader)
    assert child.returncode == 0
    return said.decode()


FAILURE = "from devicevault.cli.console import console, status_text; console().print(status_text('failure'))"


def test_a_terminal_gets_colours() -> None:
    assert on_a_terminal(FAILURE) == f"{RED}failure\x1b[0m\r\n"


def test_no_color_is_honoured() -> None:
    assert "31m" not in on_a_terminal(FAILURE, NO_COLOR="1")


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("failure", style="bold red")
    assert capsys.readouterr().out == "failure\n"


def test_square_brackets_of_a_device_are_text_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    grid = table("Message")
    grid.add_row("[bold]RP/0/0:router[/red] :smile:")
    print_table(grid)
    console().print("[/]")
    out = capsys.readouterr().out
    assert "[bold]RP/0/0:router[/red] :smile:" in out
    assert out.endswith("[/]\n")


def test_control_characters_of_a_device_are_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "login\x1b]0;owned\x07 \x1b[2J\x9b31m\x7f\r"
    grid = table("Message")
    grid.add_row(hostile)
    print_table(grid)
    console().print(hostile)
    out = capsys.readouterr().out
    assert not set(out) & {"\x1b", "\x07", "\x9b", "\x7f", "\r"}
    assert out.count("login␛]0;owned␇ ␛[2J\ufffd31m␡␍") == 2


def test_a_row_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    grid = table("Device", "Message")
    grid.add_row("core-sw1", "word " * 150)
    print_table(grid)
    assert sum("word" in line for line in capsys.readouterr().out.splitlines()) == 1


def test_json_takes_what_results_are_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        {
            "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "path": Path("/etc/x"),
            "tags": {"b", "a"},
            "facts": CollectFacts(model="Größe"),
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "time": "2026-01-02T03:04:05+00:00",
        "path": "/etc/x",
        "tags": ["a", "b"],
        "facts": {"model": "Größe", "version": "", "serial": "", "author": "", "authored_at": ""},
    }


def test_json_can_be_written_where_utf_8_can_not() -> None:
    script = "from devicevault.cli.console import print_json; print_json({'name': '漢'})"
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=env, check=True)
    assert json.loads(done.stdout) == {"name": "漢"}


def test_what_has_no_json_form_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="object"):
        print_json(object())


def test_an_error_is_one_line_for_each_fault_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    report(ConfigurationError([Fault("a.toml", "x" * 300, line=1), Fault("b.toml", "wrong", "mend it", "k")]))
    report(DeviceVaultError("no answer", "start it"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"error: a.toml:1: {'x' * 300}",
        "error: b.toml: k: wrong; mend it",
        "error: no answer; start it",
    ]


REASONS = """
from devicevault.cli.console import print_table, status_text, table
grid = table("Device", "Status", "Last backup", "Why")
grid.add_row("core-sw1", status_text("failure"), "2026-05-04 13:37:00", "unreachable: " + "word " * 20)
grid.add_row("edge-fw1", "success", "2026-05-04 13:37:00", "")
print_table(grid)
"""


def without_styles(said: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", said).split("\r\n")


def test_sentences_go_below_their_rows_where_a_terminal_is_narrow() -> None:
    lines = without_styles(on_a_terminal(REASONS, COLUMNS="70"))
    assert [line.split()[0] for line in lines if line.strip()] == [
        "Device",
        "─" * 70,
        "core-sw1",
        "unreachable:",
        "word",
        "edge-fw1",
    ]
    assert lines[2] == "core-sw1   failure   2026-05-04 13:37:00"
    assert all(len(line) <= 70 for line in lines)


def test_sentences_stay_in_their_column_where_a_terminal_is_wide() -> None:
    lines = without_styles(on_a_terminal(REASONS, COLUMNS="120"))
    assert lines[2].startswith("core-sw1   failure   2026-05-04 13:37:00   unreachable: word")


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    grid = table("Device", "Why")
    grid.add_row("core-sw1", "a reason")
    grid.add_row("edge-fw1", "")
    print_table(grid)
    assert [line for line in capsys.readouterr().out.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["config show", "config show --json", "--version", "platforms list"])
def test_a_command_whose_output_nobody_wants_does_its_job_all_the_same(arguments: str, closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m devicevault {arguments} {closed}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_opened_by_a_command_never_gets_the_number_of_a_closed_output() -> None:
    script = (
        "import os, sys; from devicevault.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "os.write(2, str(os.open(os.devnull, os.O_RDONLY)).encode())"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&-', sys.executable, script], stderr=subprocess.PIPE, text=True, check=True
    )
    assert int(done.stderr) > 2


def test_a_table_can_be_written_where_utf_8_can_not() -> None:
    script = (
        "from devicevault.cli.console import print_table, table; t = table('Name'); t.add_row('漢 é'); print_table(t)"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=env, check=True)
    assert done.stdout.decode("latin-1").splitlines() == ["Name", "----", "? é"]
