"""Who is taken for a caller on this machine: the connection has to be, and no header may say otherwise."""

import http.client
from urllib.parse import urlsplit

import pytest
from caravan.web.callers import forwarded_hosts, is_local
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from tests.waiting import PATIENCE

Fields = list[tuple[str, str]]

NAMING = [
    *("X-Forwarded-For", "x-real-ip", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP", "Client-IP"),
    *(
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "X_Forwarded_For",
        "Forwarded-For",
        "X-Original-Forwarded-For",
    ),
]
OWN = ["127.0.0.1", "127.0.0.1:4711", "127.9.9.9", "::1", "[::1]", "[::1]:80", "::ffff:127.0.0.1", " ::1 "]
OTHER = [
    *("8.8.8.8", "8.8.8.8,", ",", "", " ", "127.0.0.1,", "127.0.0.1, 8.8.8.8", "8.8.8.8, 127.0.0.1", ", ::1"),
    *("[2001:db8::1]:80", "2001:db8::1", "::ffff:8.8.8.8", "unknown", "_hidden", '"127.0.0.1"', "localhost"),
    *("127.0.0.1:x", "127.0.0.1:123456", "[127.0.0.1", "0.0.0.0", "::", "0177.0.0.1", "2130706433", "127.1"),
    *("::1%lo", "127.0.0.1 8.8.8.8", "127.0.0.1;8.8.8.8", "-", "null", "10.0.0.1", "\xa0127.0.0.1"),
]
OWN_FORWARDED = [
    "for=127.0.0.1",
    'For="[::1]:4711"',
    'FOR="127.0.0.1:80";Proto=https;by=8.8.8.8;host="llm.example"',
    'for=127.0.0.1, for="\\[::1]"',
    "for=127.0.0.1:80",
]
OTHER_FORWARDED = [
    *("for=8.8.8.8", "For=8.8.8.8;proto=http", "for=127.0.0.1, for=8.8.8.8", "for=8.8.8.8,for=127.0.0.1"),
    *(
        "for=unknown",
        "for=_hidden",
        'for="_SEVKISEK"',
        'for="[2001:db8::1]:80"',
        "proto=https",
        "by=127.0.0.1",
    ),
    *("", " ", ",", ";", "for", "for=", 'for=""', "for=127.0.0.1;", "for=127.0.0.1,", ",for=127.0.0.1"),
    *('for="127.0.0.1', 'for="127.0.0.1\\"', "for=127.0.0.1;for=8.8.8.8", "for=8.8.8.8;for=127.0.0.1"),
    *("for = 127.0.0.1", "127.0.0.1", "for=127.0.0.1 for=8.8.8.8", "for=127.0.0.1, proto=http"),
]
TRACES: Fields = [
    *(("Via", "1.1 proxy"), ("X-Forwarded-Host", "localhost"), ("X-Forwarded-Proto", "http"), ("Via", "")),
    *(("X-Forwarded-Port", "80"), ("X-Forwarded-Server", "box"), ("CDN-Loop", "x"), ("X-Forwarded-Any", "")),
]


def local(fields: Fields, peer: str | None = "127.0.0.1") -> bool:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    client = None if peer is None else (peer, 50000)
    return is_local(HTTPConnection({"type": "http", "headers": headers, "client": client}))


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.8.8.8"])
def test_whoever_calls_from_here_by_no_proxy_is_local(peer: str) -> None:
    assert local([("Host", "localhost"), ("User-Agent", "curl"), ("X-Request-Id", "8.8.8.8")], peer)


@pytest.mark.parametrize(
    "peer", ["8.8.8.8", "10.0.0.1", "::ffff:8.8.8.8", "fe80::1%eth0", "0.0.0.0", "", None]
)
def test_no_header_makes_another_machine_this_one(peer: str | None) -> None:
    for fields in ([], [("X-Forwarded-For", "127.0.0.1")], [("Forwarded", "for=127.0.0.1")]):
        assert not local(fields, peer)


@pytest.mark.parametrize("name", NAMING)
def test_a_header_with_addresses_has_to_name_this_machine_alone(name: str) -> None:
    assert [value for value in OWN if not local([(name, value)])] == []
    assert [value for value in OTHER if local([(name, value)])] == []
    assert not local([(name, "127.0.0.1"), (name, "8.8.8.8")]), "several of one name"
    assert not local([(name, "8.8.8.8"), (name, "127.0.0.1")])


def test_forwarded_is_read_as_its_standard_has_it() -> None:
    assert [value for value in OWN_FORWARDED if not local([("Forwarded", value)])] == []
    assert [value for value in OTHER_FORWARDED if local([("Forwarded", value)])] == []
    assert not local([("Forwarded", "for=127.0.0.1"), ("Forwarded", "for=8.8.8.8")])
    assert not local([("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=8.8.8.8")])


@pytest.mark.parametrize("trace", TRACES)
def test_a_proxy_that_says_not_for_whom_it_speaks_is_not_local(trace: tuple[str, str]) -> None:
    assert not local([trace])
    assert not local([("X-Forwarded-For", "127.0.0.1"), trace])


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_text_before_or_behind_hides_an_address(text: str) -> None:
    for value in (f"8.8.8.8,{text}", f"{text},8.8.8.8"):
        assert not local([("X-Forwarded-For", value)])
    for value in (f"for=8.8.8.8;{text}", f"for=8.8.8.8,{text}", f"{text},for=8.8.8.8"):
        assert not local([("Forwarded", value)])


def test_the_names_by_which_a_proxy_was_called() -> None:
    told = Headers(
        raw=[
            (b"x-forwarded-host", b"a.example, b.example:80,"),
            (b"x-original-host", b"c.example"),
            (b"forwarded", b'for=127.0.0.1;host="d.example:8000", for=127.0.0.1'),
            (b"forwarded", b"host"),
        ]
    )
    names = ["a.example", "b.example:80", "c.example", "d.example:8000", "host"]
    assert list(forwarded_hosts(told)) == names


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 200),
        ([("X-Forwarded-For", "127.0.0.1")], 200),
        ([("X-Forwarded-For", "8.8.8.8")], 403),
        ([("X-Forwarded-For", "8.8.8.8,")], 403),
        ([("X-Forwarded-For", "")], 403),
        ([("x-forwarded-FOR", "127.0.0.1"), ("X-Forwarded-For", "8.8.8.8")], 403),
        ([("Forwarded", "for=8.8.8.8")], 403),
        ([("Via", "1.1 proxy")], 403),
    ],
)
def test_over_the_wire_administrators_routes_are_for_this_machine(
    live: str, fields: Fields, status: int
) -> None:
    """`http.client` sends headers as they are, also twice and empty."""
    connection = http.client.HTTPConnection(urlsplit(live).netloc, timeout=PATIENCE)
    connection.putrequest("GET", "/status")
    for name, value in fields:
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()
