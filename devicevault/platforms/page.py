"""What a platform page says.

A page is TOML: how to reach a configuration without changing the device, how to tell that it is whole,
and what to remove from it before it is compared and shown. Every regular expression is Python's ``re``
with ``MULTILINE`` over text whose line ends are ``\\n``. Volatile lines and secrets are matched within one line
each; an expression that names ``\\n`` is matched across lines.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

#: A backup never changes a device: a page that would type one of these is refused. ``set cli`` (Junos) is about
#: the session only.
_CHANGES = re.compile(
    r"conf(ig(ure)?)?\b|system-view\b|set (?!cli )|write\b|copy\b|commit\b|save\b|reload\b|reboot\b|delete\b|erase\b|"
    r"del\b|rm\b|add\b|remove\b|import\b|restore\b|edit\b|execute\b|request\b|clear\b|"
    # RouterOS: a menu's path, then the verb.
    r"/.*\b(?:add|set|unset|remove|move|enable|disable|edit|import|load|reset\S*|reboot|shutdown|install|upgrade)\b"
)


def _compile(value: Any) -> re.Pattern[str]:
    if isinstance(value, re.Pattern):
        return value
    if not isinstance(value, str):
        raise ValueError("a regular expression is a string")
    try:
        return re.compile(value, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _harmless(command: str) -> str:
    for part in re.split(r"[|;&\n'\"`(]+", command.casefold()):
        if _CHANGES.match(part.strip()) or _CHANGES.match(part.strip().lstrip("/")):
            raise ValueError(f"{command!r} may change the device; a page only reads")
    if re.search(r"(?<!2)>(?!&)", command):
        raise ValueError(f"{command!r} may write a file; a page only reads")
    if "\n" in command or "\r" in command:
        raise ValueError("a command is one line")
    return command


Regex = Annotated[re.Pattern[str], PlainValidator(_compile)]
Command = Annotated[str, AfterValidator(_harmless)]


def _form(command: str) -> str:
    return _harmless(command.replace("{command}", "show")) and command


CommandForm = Annotated[str, AfterValidator(_form)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Question(Section):
    """Something a device may ask at login, such as to press a key or to read its licence."""

    #: Matched against the last line.
    asks: Regex
    #: Typed as it stands: ``\r`` is Enter, ``\u0003`` is Ctrl-C.
    answer: str


class Session(Section):
    """How to log in and read without changing the device."""

    #: netmiko's device type.
    driver: str
    #: The device's prompt: matched against the last line only, from its start to the very end of the output.
    prompt: Regex
    #: Commands that silence the pager for this session only; an error answer to one is noted, not fatal.
    pager_off: tuple[Command, ...] = ()
    #: A pager's question at the end of the output, for devices that can't be silenced.
    pager_prompt: Regex | None = None
    #: What is typed at the pager's question.
    pager_key: str = " "
    #: What may be asked between login and the first prompt.
    questions: tuple[Question, ...] = ()
    #: Appended to the login name (RouterOS console options such as ``+ct511w``).
    login_suffix: str = ""
    #: A prompt that matches this is unprivileged: ``enable`` is typed.
    unprivileged: Regex | None = None
    enable: str = "enable"
    #: What asks for the enable secret.
    enable_prompt: Regex = re.compile(r"[Pp]assword: ?\Z", re.MULTILINE)
    #: How the session ends; never a command that saves.
    leave: str = "exit"


class ArtifactSource(Section):
    """Where one artifact comes from."""

    name: str = "running"
    media_type: str = "text/plain"
    #: The first command the device knows wins.
    commands: tuple[Command, ...] = Field(min_length=1)


class FactSource(Section):
    """A command whose answer tells model, version and serial number (group 1 of each expression).

    Asked after the artifacts: a device that does not know the command is no failure.
    """

    command: Command
    model: Regex | None = None
    version: Regex | None = None
    serial: Regex | None = None


class Completeness(Section):
    """How a whole configuration looks. A page says how it ends, or that it is to be read twice."""

    #: Must match at the end of the text (trailing blank lines aside).
    ends_with: Regex | None = None
    #: Must match at the start (leading blank lines and preamble removed). It helps, but proves nothing by itself.
    begins_with: Regex | None = None
    #: Opening and closing characters that must balance, line-wise: a line that ends with the first opens, a line that
    #: begins with the second closes.
    balanced: tuple[str, str] | None = None
    #: Each opener must be closed: pairs of line expressions such as ``^\\s*config `` and ``^\\s*end$``. Lines inside a
    #: double-quoted text that spans lines are not looked at.
    blocks: tuple[tuple[Regex, Regex], ...] = ()
    #: Each must match somewhere.
    must_have: tuple[Regex, ...] = ()
    #: None may match anywhere: what a device writes in the place of something it kept back.
    must_not_have: tuple[Regex, ...] = ()
    #: No end mark exists: the output is read a second time and must be the same after normalisation. A mark or a count
    #: below, where the device gives it, takes the second reading's place: it also finds what is cut twice alike.
    read_twice: bool = False
    #: Makes the device itself write an end mark; ``{command}`` stands for the artifact's command.
    mark_with: CommandForm = ""
    #: The mark it writes then: must match at the end of the text.
    mark: Regex | None = None
    #: Makes the device count the configuration's lines; ``{command}`` stands for the artifact's command.
    count_with: CommandForm = ""
    #: The number in its answer: group 1.
    count: Regex = re.compile(r"^\s*(\d+)\s*$", re.MULTILINE)
    #: Whether the device counts blank lines as well.
    counts_blank: bool = False

    @model_validator(mode="after")
    def _proves_something(self) -> Completeness:
        if bool(self.mark_with) != bool(self.mark):
            raise ValueError("mark_with, what is typed, and mark, what it makes the device write, go together")
        if not (self.ends_with or self.read_twice):
            raise ValueError("nothing here proves a configuration whole; say ends_with, or read_twice = true")
        return self


class SecretRule(Section):
    """One secret: every group named ``secret`` (or group 1) of ``pattern`` is replaced."""

    pattern: Regex
    #: Where to look: only inside what this matches, such as one block. Everywhere when it is not said.
    within: Regex | None = None
    #: The device salts it anew at each reading: left out of the keyed digest.
    salted: bool = False


class Platform(Section):
    """One platform page, validated."""

    name: str
    title: str
    vendor: str = ""
    #: Where the page's facts come from.
    sources: tuple[str, ...] = ()
    session: Session
    artifacts: tuple[ArtifactSource, ...] = Field(min_length=1)
    facts: tuple[FactSource, ...] = ()
    complete: Completeness
    #: A first or last line that matches one of these is an error text: the device does not know the command.
    errors: tuple[Regex, ...] = ()
    #: The same for a command the device knows and keeps from this login: no other command is tried in its place.
    refusals: tuple[Regex, ...] = ()
    #: What breaks a long line in two. It is taken out first, so that rules see whole lines.
    continuation: Regex | None = None
    #: Removed before the text is judged: everything up to and including a match at the start.
    preamble: tuple[Regex, ...] = ()
    #: Lines removed because they change by themselves; of an expression with a group named ``volatile``, only what
    #: that group matched.
    volatile: tuple[Regex, ...] = ()
    secrets: tuple[SecretRule, ...] = ()
    #: How a comment starts in this platform's text.
    comment: str = "!"
    #: ``noop`` opens no session: for trials of everything around it.
    kind: Literal["cli", "noop"] = "cli"
    #: Digest of the page and of the filter behind it: the ``rules_digest`` of a result. The loader fills it in.
    digest: str = ""
