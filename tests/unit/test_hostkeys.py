"""Whether a host key is the expected one."""

from __future__ import annotations

import pytest

from devicevault.collector import hostkeys
from devicevault.errors import HostKeyRefused
from devicevault.host_key import fingerprint

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJNDfzXWoEPDHVTWeXCnVkVOH3bs3FWyVSEDIVDaZ8o9"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7"


def test_the_fingerprint_is_the_one_ssh_keygen_prints() -> None:
    # printf '%s\n' "$ED25519" | ssh-keygen -lf -
    assert fingerprint(ED25519) == "SHA256:uZQ1SC/y0Nu4l6xr1hGNT33yav7aXVSsThdnp92GIpE"


def test_a_pinned_key_is_accepted_with_a_comment_behind_it() -> None:
    hostkeys.check(ED25519, (RSA, f"{ED25519} r1 since 2024"), "strict")


def test_any_other_key_than_the_pinned_is_refused_with_both_fingerprints() -> None:
    with pytest.raises(HostKeyRefused) as caught:
        hostkeys.check(ED25519, (RSA,), "accept-new", "core-sw1")
    assert str(caught.value).endswith("devicevault hostkeys accept core-sw1")
    assert fingerprint(ED25519) in str(caught.value)
    assert fingerprint(RSA) in str(caught.value)


def test_a_pinned_key_counts_for_nothing_when_checking_is_off() -> None:
    hostkeys.check(ED25519, (RSA,), "off")


def test_a_pin_that_can_not_be_read_refuses_and_does_not_crash() -> None:
    with pytest.raises(HostKeyRefused, match="unreadable"):
        hostkeys.check(ED25519, ("nonsense",), "accept-new")


def test_the_pinned_type_is_asked_for_first_so_that_a_second_key_does_no_harm() -> None:
    offered = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert hostkeys.preferred(offered, (RSA,))[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert hostkeys.preferred(offered, ()) == offered
