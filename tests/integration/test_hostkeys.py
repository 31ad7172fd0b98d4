"""A whole group of devices is exchanged: every one is refused, accepted in one go, and backed up again."""

from __future__ import annotations

from pathlib import Path

import pytest

from devicevault.demo.fleet import Fleet, SimulatedDevice
from devicevault.errors import ExitCode
from devicevault.host_key import fingerprint
from tests.collecting import CREDENTIALS
from tests.installation import GROUP, Installation
from tests.servers import free_port

pytestmark = pytest.mark.services


def test_a_swap_of_devices_is_accepted_in_bulk(tmp_path: Path) -> None:
    names = ("sw1", "sw2", "rtr1")
    nobody = f"redis://127.0.0.1:{free_port()}"
    with Fleet([SimulatedDevice(name) for name in names]) as fleet:
        vault = Installation(tmp_path / "etc", f"{nobody}/0", f"{nobody}/1", f"sqlite:///{tmp_path}/vault.db")
        vault.write_credentials(CREDENTIALS)
        head = f'[defaults]\nplatform = "cisco_ios"\ncredential = "lab"\ngroup = "{GROUP}"\n[groups.{GROUP}]\n'
        vault.write_inventory(
            head + "".join(f'[devices.{name}]\naddress = "127.0.0.1"\nport = {fleet.port(name)}\n' for name in names)
        )
        vault.ok("keys", "create")
        vault.ok("collect", "--inline", "--all")
        pinned = {name: fleet.host_key(name) for name in names}

        for name in ("sw1", "sw2"):
            fleet.replace_host_key(name)
        refused = vault.run("collect", "--inline", "--all")
        assert refused.returncode == ExitCode.DEVICES_FAILED
        for name in ("sw1", "sw2"):
            assert fingerprint(pinned[name]) in refused.stdout
            assert fingerprint(fleet.host_key(name)) in refused.stdout
            assert f"devicevault hostkeys accept {name}" in refused.stdout
        assert [fleet[name].logins for name in names] == [1, 1, 2]

        accepted = vault.ok("hostkeys", "accept", "--group", GROUP)
        assert [line.partition(":")[0] for line in accepted.splitlines()] == ["sw1", "sw2"]
        vault.ok("collect", "--inline", "--all")
