"""Input files of batches: what is read of them, and what is found wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest
from caravan.api.batches import reading
from caravan.api.batches.reading import Chunk, InputReader, body_of
from caravan_schemas.batches import Endpoint

CHAT: Endpoint = "/v1/chat/completions"
BODY = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}


def line(name: str, **fields: Any) -> str:  # noqa: ANN401
    return json.dumps({"custom_id": name, "method": "POST", "url": CHAT, "body": BODY, **fields})


def read(path: Path, text: str, endpoint: Endpoint = CHAT, max_bytes: int = 4096) -> list[Chunk]:
    path.write_text(text, encoding="utf-8")
    reader = InputReader(path, endpoint, max_bytes)
    try:
        chunks = [reader.next_chunk()]
        while not chunks[-1].is_last:
            chunks.append(reader.next_chunk())
        return chunks
    finally:
        reader.close()


def faults(path: Path, *lines: str) -> list[tuple[int, str, str | None]]:
    """The number, the code and the field of each fault."""
    found = [fault for chunk in read(path, "\n".join(lines)) for fault in chunk.faults]
    return [(fault["line"], fault["code"], fault["param"]) for fault in found]


def test_lines_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    text = f"{line('a')}\n\n  \n{line('ä 2')}\r\n{line('c')}"
    chunks = read(path, text)
    found = [item for chunk in chunks for item in chunk.lines]
    assert [(item.position, item.custom_id) for item in found] == [(1, "a"), (2, "ä 2"), (3, "c")]
    data = path.read_bytes()
    assert [json.loads(body_of(data[item.start : item.start + item.length])) for item in found] == [BODY] * 3
    assert [chunk.models for chunk in chunks] == [{"fake": 1}]


def test_a_mark_at_the_beginning_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    (chunk,) = read(path, f"\ufeff{line('a')}\n{line('b')}")
    assert ([item.custom_id for item in chunk.lines], chunk.faults) == (["a", "b"], [])
    assert json.loads(body_of(path.read_bytes()[: chunk.lines[0].length])) == BODY


def test_all_of_a_long_file_is_read_in_chunks(tmp_path: Path) -> None:
    chunks = read(tmp_path / "in.jsonl", "\n".join(line(f"r{number}") for number in range(1000)))
    assert len(chunks) > 2
    assert [item.position for chunk in chunks for item in chunk.lines] == list(range(1, 1001))


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ("{", "invalid_json_line", None),
        ("[]", "invalid_json_line", None),
        ('{"custom_id": "x"}', "missing_required_parameter", "method"),
        (line("x", method="GET"), "invalid_value", "method"),
        (line("x", url="/v1/completions"), "url_mismatch", "url"),
        (line("x", url=7), "url_mismatch", "url"),
        (line("x", extra=1), "unknown_parameter", "extra"),
        (line(""), "invalid_value", "custom_id"),
        (line("x" * 513), "invalid_value", "custom_id"),
        (line("x", custom_id=5), "invalid_value", "custom_id"),
        (line("a"), "duplicate_custom_id", "custom_id"),
        (line("x", body=[]), "invalid_type", "body"),
        (line("x", body={"model": "fake"}), "missing_required_parameter", "body.messages"),
        (line("x", body={**BODY, "temperature": -1}), "invalid_value", "body.temperature"),
        (line("x", body={**BODY, "nobody_knows": 1}), "unknown_parameter", "body.nobody_knows"),
        (line("x", body={**BODY, "stream": True}), "unsupported_parameter", "body.stream"),
        (line("x", body={**BODY, "priority": -5}), "unsupported_parameter", "body.priority"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told_by_line_and_field(
    wrong: str, code: str, param: str | None, tmp_path: Path
) -> None:
    assert faults(tmp_path / "in.jsonl", line("a"), wrong, line("b")) == [(2, code, param)]


def test_a_background_response_has_no_place(tmp_path: Path) -> None:
    body = {"model": "fake", "input": "Hi", "background": True}
    text = line("a", url="/v1/responses", body=body)
    (chunk,) = read(tmp_path / "in.jsonl", text, endpoint="/v1/responses")
    assert [fault["param"] for fault in chunk.faults] == ["body.background"]


def test_no_line_is_longer_than_a_body_may_be(tmp_path: Path) -> None:
    (chunk,) = read(tmp_path / "in.jsonl", f"{line('a')}\n{line('b' * 5000)}\n", max_bytes=4096)
    assert [(fault["line"], fault["code"]) for fault in chunk.faults] == [(2, "line_too_long")]


def test_there_are_no_more_lines_than_there_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINES", 3)
    assert faults(tmp_path / "in.jsonl", *map(line, "abc")) == []
    assert faults(tmp_path / "in.jsonl", *map(line, "abcd")) == [(4, "too_many_tasks", None)]


def test_lines_that_begin_alike_come_together(tmp_path: Path) -> None:
    systems = ["You are a cook. " * 40, "You are a sailor. " * 40]
    texts = []
    for number in range(20):
        messages = [
            {"role": "system", "content": systems[number % 2]},
            {"role": "user", "content": f"Question {number}"},
        ]
        texts.append(line(f"r{number}", body={**BODY, "messages": messages}))
    (chunk,) = read(tmp_path / "in.jsonl", "\n".join(texts), max_bytes=65536)
    turns = sorted(chunk.lines, key=lambda item: (item.turn, item.position))
    parities = [item.position % 2 for item in turns]
    assert parities in ([0] * 10 + [1] * 10, [1] * 10 + [0] * 10)
