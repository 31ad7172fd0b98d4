"""What the doctor says of the files in ``/etc/devicevault``."""

from __future__ import annotations

from pathlib import Path

from devicevault.doctor import State
from devicevault.doctor.files import look_at_credentials
from devicevault.settings import JumpSettings, Settings

BOUND = '[credentials.dmz]\nusername = "a"\npassword = "x"\nnetworks = ["192.0.2.0/24"]\n'


def settings_with(folder: Path, credentials: str) -> Settings:
    path = folder / "credentials.toml"
    path.write_text(credentials)
    path.chmod(0o640)
    return Settings(credentials_file=path)


def test_credentials_bound_to_nothing_are_named(tmp_path: Path) -> None:
    free = "".join(f'[credentials.{name}]\nusername = "a"\npassword = "x"\n' for name in ("core", "lab"))
    counted, warned = look_at_credentials(settings_with(tmp_path, free + BOUND))
    assert (counted.state, warned.state) == (State.OK, State.WARNING)
    assert warned.text.startswith("bound to nothing: core, lab;")
    assert "networks or the groups" in warned.fix


def test_a_jump_whose_credential_is_missing_is_a_fault(tmp_path: Path) -> None:
    jumps = {
        "bastion": JumpSettings(address="192.0.2.1", credential="hop"),
        "inner": JumpSettings(address="192.0.2.2", credential="dmz"),
        "proxy": JumpSettings(kind="http", address="192.0.2.3"),
    }
    settings = settings_with(tmp_path, BOUND).model_copy(update={"jumps": jumps})
    _, fault = look_at_credentials(settings)
    assert (fault.state, "'hop', which [jumps.bastion] needs" in fault.text) == (State.FAULT, True)


def test_credentials_that_are_bound_are_no_matter(tmp_path: Path) -> None:
    (counted,) = look_at_credentials(settings_with(tmp_path, BOUND))
    assert counted.state is State.OK
