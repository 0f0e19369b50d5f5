"""Names of this server, and others."""

import socket

import pytest
from caravan.web.callers import AllowedHosts, is_same_place
from hypothesis import given
from hypothesis import strategies as st

LOCAL = ["localhost", "LocalHost:8000", "a.localhost", "127.0.0.1", "127.8.9.1:80", "[::1]:8000", "0.0.0.0:1"]
STRANGE = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "a b",
    "a/b",
    "x@localhost",
    "[::1",
    ":80",
]
NEAR = [
    "box",
    "box:8000",
    "box.local",
    "box.home",
    "box.home.arpa",
    "caravan.apps.svc.cluster.local",
    "192.168.1.7:8000",
    "[fd00::7]",
]


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "192.168.1.5"])
def test_this_machine_is_known_and_strangers_are_not(bound: str) -> None:
    hosts = AllowedHosts(bound)
    assert [host for host in LOCAL if not hosts.has(host)] == []
    assert [host for host in STRANGE if hosts.has(host)] == []


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "192.168.1.5", "box.example.org"])
def test_neighbours_call_a_server_that_listens_to_them(bound: str) -> None:
    """Addresses, names of a network and of containers: none that a stranger's page could have."""
    hosts = AllowedHosts(bound)
    assert [host for host in [*NEAR, socket.gethostname()] if not hosts.has(host)] == []


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1"])
def test_a_server_for_this_machine_has_no_neighbours(bound: str) -> None:
    hosts = AllowedHosts(bound)
    assert [host for host in NEAR if hosts.has(host)] == []
    assert hosts.has("host.docker.internal:8000")


def test_names_that_are_listed() -> None:
    hosts = AllowedHosts("127.0.0.1", ["llm.Example.org", "*.test.example", "192.168.1.7", "[fd00::7]"])
    known = ["llm.example.org", "a.test.example:1", "a.b.test.example", "192.168.1.7:8000", "[fd00::7]"]
    assert [host for host in known if not hosts.has(host)] == []
    assert not hosts.has("test.example")
    assert not hosts.has("example.org")
    assert AllowedHosts("127.0.0.1", ["*"]).has("evil.example")


@given(
    strange=st.text(st.characters(max_codepoint=255), max_size=40), bound=st.sampled_from(["127.0.0.1", "::"])
)
def test_no_text_is_mistaken_for_a_name_of_this_machine(strange: str, bound: str) -> None:
    hosts = AllowedHosts(bound)
    for host in (
        strange,
        f"localhost{strange}.example",
        f"[{strange}].example",
        f"127.0.0.1.{strange}.example",
    ):
        if hosts.has(host):
            assert not host.lower().rstrip(".").endswith(".example")
    assert not is_same_place(strange, "a.example")
    assert not is_same_place(f"http://{strange}@a.example", "a.example")


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://a.example", "a.example", True),
        ("http://a.example", "A.example:80", True),
        ("https://a.example", "a.example:443", True),
        ("https://a.example", "a.example:80", False),
        ("http://a.example:8000", "a.example", False),
        ("http://b.example", "a.example", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("null", "null", False),
        ("file://", "", False),
        ("http://a.example@b.example", "b.example", False),
        ("http://[", "a.example", False),
        ("app://a.example", "a.example", False),
    ],
)
def test_an_origin_is_this_server_or_not(origin: str, host: str, *, same: bool) -> None:
    assert is_same_place(origin, host) is same
