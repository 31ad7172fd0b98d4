"""Digest authentication: the examples of its RFCs, and challenges that are none."""

from __future__ import annotations

import pytest

from devicevault.plugins.digest import answer_to

USER, PASSWORD, PATH = "Mufasa", "Circle of Life", "/dir/index.html"
RFC7616 = (
    'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.fixture(autouse=True)
def client_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr("secrets.token_hex", lambda size: nonce)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    answer = answer_to([f"Digest {RFC7616}, algorithm={algorithm}"], USER, PASSWORD, "GET", PATH)
    assert f'response="{response}"' in answer
    assert f"algorithm={algorithm}, qop=auth, nc=00000001" in answer
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in answer


def test_the_example_of_rfc_2069_which_knew_no_qop() -> None:
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    answer = answer_to([challenge], USER, "CircleOfLife", "GET", PATH)
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert "nc=" not in answer


def test_the_strongest_challenge_is_answered_whatever_else_is_offered() -> None:
    challenges = [f"Digest {RFC7616}, algorithm=MD5", 'Basic realm="x"', f"Digest {RFC7616}, algorithm=SHA-256"]
    assert "algorithm=SHA-256" in answer_to(challenges, USER, PASSWORD, "GET", PATH)


def test_a_name_with_quotes_stays_one_name() -> None:
    answer = answer_to([f"Digest {RFC7616}"], 'a"b\\c', PASSWORD, "GET", PATH)
    assert r'username="a\"b\\c", realm=' in answer


@pytest.mark.parametrize(
    "challenges",
    [
        [],
        ['Basic realm="x"'],
        ["Digest "],
        ['Digest realm="x"'],
        [f"Digest {RFC7616}, algorithm=MD5-sess"],
        ['Digest realm="x", nonce="y", qop="auth-int"'],
        ['Digest realm="x", nonce="y\r\n Host: 192.0.2.1"'],
    ],
)
def test_what_can_not_be_answered_is_refused(challenges: list[str]) -> None:
    with pytest.raises(ValueError, match="no digest with MD5 or SHA-256"):
        answer_to(challenges, USER, PASSWORD, "GET", PATH)
