"""Lines of the log stay lines, whatever a client has written into a message."""

import io
import json
import logging
from collections.abc import Generator

import pytest
from caravan.engine.ipc.child_process import relay
from caravan.engine.ipc.messages import Logged
from caravan.observability.log_format import TEXT, JsonFormatter, TextFormatter

FORGED = "x\n2026-01-01 00:00:00,000 INFO caravan.requests: POST /admin 200 key=root"
UNSEEN = ["\r", "\x1b[2J", "\x9b2J", "\x00", "\x7f", "\u2028", "\x85", "\u202e", "\udc80"]


@pytest.fixture(params=[JsonFormatter(), TextFormatter(TEXT)], ids=["json", "text"])
def logged(request: pytest.FixtureRequest) -> Generator[io.StringIO, None, None]:
    """What is logged under `forging`, as one of the formats has it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(request.param)
    log = logging.getLogger("forging")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield written
    log.removeHandler(handler)


def test_a_message_is_one_line_of_plain_characters(logged: io.StringIO) -> None:
    for text in (FORGED, *UNSEEN):
        logging.getLogger("forging").info("a request has the field %s", text)
    lines = logged.getvalue().split("\n")
    assert len(lines) == 2 + len(UNSEEN)
    assert len(logged.getvalue().splitlines()) == len(lines) - 1
    for line in lines:
        assert not line.startswith("2026-01-01")
        assert line.isprintable()
    logged.getvalue().encode()


def test_no_line_of_a_traceback_begins_as_an_entry_does(logged: io.StringIO) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("forging").exception("it failed")
    check_trace(logged)


def test_a_traceback_of_an_engine_is_told_as_its_own(logged: io.StringIO) -> None:
    relay(Logged("forging", logging.ERROR, f"it failed\nTraceback\n{FORGED}"))
    check_trace(logged)


def check_trace(logged: io.StringIO) -> None:
    first, *rest = logged.getvalue().splitlines()
    if first.startswith("{"):
        document = json.loads(first)
        assert (document["message"], rest) == ("it failed", [])
        assert "key=root" in document["exception"]
    else:
        assert first.endswith("ERROR forging: it failed")
        assert len(rest) > 2
        assert all(line.startswith("    ") for line in rest)
        assert any("key=root" in line for line in rest)


def test_letters_of_all_languages_are_plain(logged: io.StringIO) -> None:
    logging.getLogger("forging").info("modèle 模型 %s", "\t😀")
    (line,) = logged.getvalue().splitlines()
    message = json.loads(line)["message"] if line.startswith("{") else line
    assert message.endswith("modèle 模型 \t😀")
