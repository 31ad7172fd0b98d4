"""One device of the inventory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from devicevault import names


@dataclass(frozen=True, slots=True)
class Device:
    """A device with all it inherits from its group and the defaults."""

    name: str
    #: Stays the same through a rename; the name where the inventory gives no ``id``.
    device_id: str
    #: An IPv4 or IPv6 address, or a host name.
    address: str
    platform: str
    port: int = 22
    group: str = names.DEFAULT_GROUP
    #: Names of credentials in the worker's own file, tried in this order.
    credentials: tuple[str, ...] = ()
    #: A device that is not enabled is collected only when a person names it.
    enabled: bool = True
    tags: tuple[str, ...] = ()
    #: What its platform page or a plugin may ask for; JSON types only, never a secret.
    options: dict[str, Any] = field(default_factory=dict)
    #: SSH algorithms for this device alone; its group's setting where ``None``.
    algorithms: Literal["modern", "legacy"] | None = None
    #: Seconds one whole session may take; its group's setting where ``None``.
    deadline_s: float | None = None
    #: Jump hosts and proxies on the way, in order; its group's setting where ``None``.
    jump: tuple[str, ...] | None = None
    transport: Literal["ssh", "telnet"] = "ssh"
    #: Name of the credential for the console server in front of it, or empty.
    console: str = ""
    #: What the console server wants behind the login name, such as ``:port7``.
    console_line: str = ""
    #: The inventory's source that knows it; empty for one of the inventory's own file.
    source: str = ""
