"""What a platform page says.

A page is TOML: how to reach a configuration without changing the device, how to tell that it is whole,
and what to remove from it before it is compared and shown. Every regular expression is Python's ``re``
with ``MULTILINE`` over text whose line ends are ``\\n``. Volatile lines and secrets are matched within one line
each; an expression that names ``\\n`` is matched across lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from devicevault.platforms.plugged import PLUGGED, PluginUse
from devicevault.platforms.readonly import harmless, harmless_keys


def _compile(value: Any) -> re.Pattern[str]:
    if isinstance(value, re.Pattern):
        return value
    if not isinstance(value, str):
        raise ValueError("a regular expression is a string")
    try:
        return re.compile(value, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


Regex = Annotated[re.Pattern[str], PlainValidator(_compile)]
Command = Annotated[str, AfterValidator(harmless)]
Keys = Annotated[str, AfterValidator(harmless_keys)]


def _form(command: str) -> str:
    return harmless(command.replace("{command}", "show")) and command


CommandForm = Annotated[str, AfterValidator(_form)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Question(Section):
    """Something a device may ask, such as to press a key, to read its licence, or to choose from a menu."""

    #: Matched against the last line.
    asks: Regex
    #: Typed as it stands: ``\r`` is Enter, ``\u0003`` is Ctrl-C. ``{username}`` and ``{password}`` are the login's, for
    #: devices that ask once more behind SSH; they stand for the whole answer and Enter follows by itself.
    answer: Keys
    #: Whether it is asked between login and the first prompt, or while a command is answered.
    when: Literal["login", "reading"] = "login"


class Session(Section):
    """How to log in and read without changing the device."""

    #: netmiko's device type. Nothing of it types anything: it knows a few terminals' ways, ``generic`` those of most.
    driver: str = "generic"
    #: ``none`` where SSH lets everybody in and the device asks for name and password on its terminal.
    ssh_auth: Literal["credential", "none"] = "credential"
    #: The one name SSH lets in then, whatever the name that the terminal asks for.
    ssh_user: str = ""
    #: The device's prompt: matched against the last line only, from its start to the very end of the output.
    prompt: Regex
    #: A line of its own that stands above each prompt (``[/]``, ``{master:0}``): taken off the end of an answer.
    above_prompt: Regex | None = None
    #: Typed once after login, for devices that show nothing before a key is pressed.
    wake: Keys = ""
    #: What Enter sends; where it is empty, what the driver sends (mostly ``\n``).
    enter: Keys = ""
    #: Commands that silence the pager for this session only; an error answer to one is noted, not fatal.
    pager_off: tuple[Command, ...] = ()
    #: A pager's question at the end of the output, for devices that can't be silenced.
    pager_prompt: Regex | None = None
    #: What is typed at the pager's question.
    pager_key: Keys = " "
    #: What may be asked.
    questions: tuple[Question, ...] = ()
    #: Appended to the login name (RouterOS console options such as ``+ct511w``).
    login_suffix: str = ""
    #: A prompt that matches this is unprivileged, or a shell in front of the command line: ``enable`` is typed.
    unprivileged: Regex | None = None
    enable: Command = "enable"
    #: What asks for the enable secret.
    enable_prompt: Regex = re.compile(r"[Pp]assword: ?\Z", re.MULTILINE)
    #: How the session ends; never a command that saves.
    leave: Command = "exit"


class FactSource(Section):
    """Where model, version and serial number stand (group 1 of each expression).

    Asked after the artifacts: a device that does not know the command is no failure. Where neither ``command`` nor
    ``ask`` is said, they are looked for in the artifacts as they were sent.
    """

    command: Command | None = None
    #: What a plugin is asked for in its place.
    ask: str = ""
    model: Regex | None = None
    version: Regex | None = None
    serial: Regex | None = None

    @property
    def asked(self) -> str:
        """The command, or what the plugin is asked for; empty where nothing is."""
        return self.command or self.ask


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


class ArtifactSource(Section):
    """Where one artifact comes from."""

    name: str = "running"
    media_type: str = "text/plain"
    #: The first command the device knows wins.
    commands: tuple[Command, ...] = ()
    #: What a plugin is asked for in their place: a path, a file, an RPC. The first that the device takes wins.
    ask: tuple[str, ...] = ()
    #: A file rather than a text: sealed, and told in one line. Only a plugin brings such.
    binary: bool = False
    #: Kept where it can be had; its failure is told in the log and fails nothing else. Never the first artifact.
    optional: bool = False
    #: How this one looks when it is whole, where it differs from the page's ``complete``.
    complete: Completeness | None = None


class AuthorSource(Section):
    """Where the device tells who changed it last, and when.

    Groups ``by`` and ``at`` of the expression, either of which may be missing; both are kept as the device writes them.
    """

    pattern: Regex
    #: Looked for in this command's answer, such as a commit log; when it is not said, in the artifacts as they were
    #: sent, volatile lines and all. A device that does not know the command is no failure.
    command: Command | None = None

    @property
    def asked(self) -> str:
        """The command; empty where nothing is asked."""
        return self.command or ""

    @model_validator(mode="after")
    def _names_somebody(self) -> AuthorSource:
        if not {"by", "at"} & set(self.pattern.groupindex):
            raise ValueError("pattern needs a group named by, or one named at: (?P<by>\\S+)")
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
    #: What only this platform shows, in its SSH banner, its greeting or the answers that ``facts`` ask for: how
    #: ``devicevault devices detect`` tells it from others.
    recognise: Regex | None = None
    session: Session
    artifacts: tuple[ArtifactSource, ...] = Field(min_length=1)
    facts: tuple[FactSource, ...] = ()
    #: The first that matches tells.
    author: tuple[AuthorSource, ...] = ()
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
    #: What its syslog messages say when its configuration was changed, and at no other time; above all not when a
    #: backup reads it. Looked for anywhere in a message.
    change_messages: tuple[Regex, ...] = ()
    #: How a comment starts in this platform's text.
    comment: str = "!"
    #: ``noop`` opens no session: for trials of everything around it. A page with ``[plugin]`` is a ``plugin``'s.
    kind: Literal["cli", "noop", "plugin"] = "cli"
    plugin: PluginUse | None = None
    #: Digest of the page and of the filter behind it: the ``rules_digest`` of a result. The loader fills it in.
    digest: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_a_plugin(cls, data: Any) -> Any:
        """A page with ``[plugin]`` need say nothing of a session."""
        if isinstance(data, dict) and "plugin" in data:
            return {**PLUGGED, **data, "kind": "plugin"}
        return data

    @model_validator(mode="after")
    def _is_read(self) -> Platform:
        for source in self.artifacts:
            if self.kind != "plugin" and not (source.commands and not source.ask and not source.binary):
                raise ValueError(f"artifact {source.name!r} needs commands; ask and binary are for pages with [plugin]")
            if self.kind == "plugin" and source.commands:
                raise ValueError(f"artifact {source.name!r}: a plugin types no commands; say ask")
        for fact in self.facts:
            if fact.command if self.kind == "plugin" else fact.ask:
                raise ValueError("facts: a plugin's page says ask, every other page command")
        if self.kind == "plugin" and self.plugin is None:
            raise ValueError("kind is plugin, and [plugin] is missing")
        if self.artifacts[0].optional:
            raise ValueError("the first artifact can't be optional: it is the device's configuration")
        names = [artifact.name for artifact in self.artifacts]
        if len(set(names)) < len(names):
            raise ValueError("two artifacts have the same name")
        return self

    def judging(self, source: ArtifactSource) -> Platform:
        """The page as it judges this artifact."""
        return self.model_copy(update={"complete": source.complete}) if source.complete else self

    def commands(self) -> Iterator[str]:
        """Every command a session may type, login to farewell: nothing else is ever sent but keys and secrets."""
        if self.kind == "plugin":
            return
        session = self.session
        yield from (session.enable, *session.pager_off)
        for source in self.artifacts:
            complete = source.complete or self.complete
            for command in source.commands:
                yield command
                yield from (
                    form.replace("{command}", command) for form in (complete.mark_with, complete.count_with) if form
                )
        yield from (fact.command for fact in self.facts if fact.command)
        yield from (source.command for source in self.author if source.command)
        yield session.leave
