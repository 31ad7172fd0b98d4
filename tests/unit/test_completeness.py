"""Only a whole configuration is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicevault.collector.completeness import agree, judge, refusal, rejection
from devicevault.collector.normalise import normalise
from devicevault.demo.configurations import configuration_for
from devicevault.demo.dialects import DIALECTS
from devicevault.errors import CollectionError, CommandRefused, CommandRejected, OutputEmpty, OutputTruncated
from devicevault.platforms import Platforms

PAGES = Platforms.load()
SIMULATED = [*DIALECTS, "noop"]

FORTIOS = """\
#config-version=FGT-7.4.7:opmode=0:vdom=0:user=me
config system global
    set buffer "first line
config like a block
end
    and the last \\"line\\""
end
config system interface
    edit "a"
        config ipv6
            set x 1
        end
    next
end
"""


@pytest.mark.parametrize(
    ("platform", "text", "message"),
    [
        ("cisco_ios", "version 17.9\nhostname r1\n", "does not end with 'end'"),
        ("cisco_ios", "version 17.9\nhostname r1\n weekend\n", "does not end with 'end'"),
        ("cisco_ios", "version 17.9\nhostname r1\nend\nmore\n", "does not end with 'end'"),
        ("cisco_ios", "!\nend\n", "no line matches"),
        ("juniper_junos", "version 22;\nsystem {\n    a {\n    }\n", r"1 more \{ than \}"),
        ("juniper_junos", "version 22;\nsystem {\n    /* ACCESS-DENIED */;\n}\n", "it holds '/. ACCESS-DENIED"),
        ("cisco_asa", "ASA Version 9.1\nhostname fw\n key *****\n: end\n", "it holds"),
        ("mikrotik_routeros", '# a b by RouterOS 7\n/ip\n#error exporting "/x"\n', "it holds"),
        ("fortinet_fortios", FORTIOS.removesuffix("end\n"), "does not end with 'end'; 1 blocks are not closed"),
        ("fortinet_fortios", FORTIOS.replace("    next\n", ""), "closes a block that was not open"),
        ("fortinet_fortios", FORTIOS.replace('line\\""', "line"), "quoted text is not closed"),
        ("hp_comware", "#\n version 7.1\n#\n", "does not end with 'return'"),
        ("frr", "frr version 8.4\nhostname r1\n", "does not end with 'end'"),
        ("linux", "# file: /etc/hosts\n127.0.0.1 localhost\n", "does not end with '# end of files'"),
    ],
)
def test_a_part_of_a_configuration_is_refused(platform: str, text: str, message: str) -> None:
    with pytest.raises(OutputTruncated, match=message):
        judge(PAGES.get(platform), text)


def test_lines_in_a_quoted_text_are_no_blocks() -> None:
    assert judge(PAGES.get("fortinet_fortios"), FORTIOS) == "ends with 'end', every block is closed"


@pytest.mark.parametrize("platform", PAGES.names())
@pytest.mark.parametrize("text", ["", "\n\n", " \r\n \n"])
def test_nothing_is_told_as_empty(platform: str, text: str) -> None:
    with pytest.raises(OutputEmpty):
        judge(PAGES.get(platform), text)


@pytest.mark.parametrize(
    ("platform", "text"),
    [
        ("cisco_ios", "                ^\n% Invalid input detected at '^' marker.\n"),
        ("cisco_nxos", "                ^\n% Invalid command at '^' marker.\n"),
        ("cisco_asa", "           ^\nERROR: % Invalid input detected at '^' marker.\n"),
        ("arista_eos", "% Invalid input\n"),
        ("juniper_junos", "         ^\nunknown command.\n"),
        ("juniper_junos", "error: command is not valid on the srx300\n"),
        ("aruba_aoscx", "Invalid input: running-config\n"),
        ("hp_comware", "          ^\n % Unrecognized command found at '^' position.\n"),
        ("mikrotik_routeros", "expected end of command (line 1 column 9)\n"),
        ("fortinet_fortios", "command parse error before 'x'\nCommand fail. Return code -61\n"),
        ("vyos", "\n  Invalid command: [show configuration]\n\n"),
        ("frr", "% Unknown command: show running-config\n"),
        ("linux", "-bash: sh: command not found\n"),
    ],
)
def test_an_error_text_is_no_configuration(platform: str, text: str) -> None:
    with pytest.raises(CommandRejected):
        judge(PAGES.get(platform), text)
    assert rejection(PAGES.get(platform), text)


@pytest.mark.parametrize(
    ("platform", "text"),
    [
        ("cisco_ios", "Command authorization failed.\n"),
        ("cisco_nxos", "% Permission denied for the role\n"),
        ("arista_eos", "% Authorization denied for command 'show running-config'\n"),
        ("mikrotik_routeros", "not enough permissions (9)\n"),
        ("hp_comware", "Permission denied.\n"),
    ],
)
def test_a_refused_command_is_told_from_an_unknown_one(platform: str, text: str) -> None:
    """Another command would be known, and show less."""
    with pytest.raises(CommandRefused):
        judge(PAGES.get(platform), text)
    assert refusal(PAGES.get(platform), text)
    assert not rejection(PAGES.get(platform), text)


def test_an_error_text_in_the_middle_is_a_line_like_others() -> None:
    filler = "interface e{}\n"
    text = "version 17\nhostname r1\n" + "".join(map(filler.format, range(20)))
    assert judge(PAGES.get("cisco_ios"), f"{text}% Invalid input detected\n{text}end\n")


def test_two_different_readings_prove_nothing() -> None:
    page = PAGES.get("cisco_nxos")
    one, two = (normalise(page, f"version 9\nfeature {word}\n") for word in ("lacp", "lldp"))
    with pytest.raises(OutputTruncated, match="two readings differ"):
        agree(page, one, two)
    assert agree(page, one, one) == "two readings agree"


def test_a_secret_where_the_text_was_cut_is_not_told() -> None:
    with pytest.raises(OutputTruncated) as raised:
        judge(PAGES.get("cisco_ios"), "version 17\nhostname r1\nenable secret 9 cAnArY")
    assert "cAnArY" not in str(raised.value)
    with pytest.raises(OutputTruncated) as raised:
        judge(PAGES.get("fortinet_fortios"), 'x\nset private-key "-----BEGIN RSA PRIVATE KEY-----\nAAAA\ncAnArY')
    assert "cAnArY" not in str(raised.value)


@given(st.sampled_from([name for name in SIMULATED if not PAGES.get(name).complete.read_twice]), st.data())
def test_no_cut_anywhere_passes_where_there_is_an_end_mark(name: str, data: st.DataObject) -> None:
    page = PAGES.get(name)
    heads = {"cisco_asa": "{}: end\n", "linux": "# file: /etc/x\n{}# end of files\n", "noop": "{}end\n"}
    whole = heads.get(name, "{}").format(configuration_for(name if name != "noop" else "cisco_ios", "r1", size_kb=1))
    judge(page, whole)
    cut = whole[: data.draw(st.integers(0, len(whole.rstrip()) - 1))]
    with pytest.raises(CollectionError):
        judge(page, cut)


@pytest.mark.parametrize("name", [name for name in SIMULATED if PAGES.get(name).complete.read_twice])
def test_no_cut_agrees_with_the_whole_where_there_is_none(name: str) -> None:
    page = PAGES.get(name)
    whole = configuration_for(name, "r1", size_kb=2)
    lines = whole.rstrip("\n").split("\n")
    for count in range(len(lines)):
        cut = "\n".join(lines[:count])
        with pytest.raises(OutputTruncated):
            agree(page, normalise(page, cut), normalise(page, whole))


@pytest.mark.parametrize("name", [page.name for page in PAGES if page.kind == "cli"])
def test_a_configuration_that_is_read_twice_begins_as_one(name: str) -> None:
    """A banner or a syslog line alone, twice the same, is no configuration."""
    page = PAGES.get(name)
    for source in page.artifacts:
        judging = page.judging(source)
        if judging.complete.read_twice:
            with pytest.raises((OutputTruncated, CommandRejected)):
                judge(judging, "Connection will be closed in 5 minutes\n")
