"""What is stored of files and batches: each line is answered once, and nobody sees another's."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from caravan.api.batches import stored_batches, stored_files
from caravan.api.batches.archive import Store
from caravan.api.batches.stored_batches import TooManyError
from caravan.api.batches.stored_files import FileInUseError, NoRoomError, new_id
from caravan.api.batches.values import Answer, Batch, File, Line, Tokens
from caravan.api.store.errors import MissingError
from caravan_schemas.batches import BatchRequest


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store, None, None]:
    opened = Store(tmp_path, max_bytes=2000)
    yield opened
    opened.close()


def uploaded(store: Store, owner: str = "a", size: int = 10, seconds: int = 3600) -> File:
    name = new_id("file-")
    store.files.path(name).write_bytes(b"x" * size)
    return store.files.upload(owner, name, "in.jsonl", seconds)


def begun(store: Store, owner: str = "a", num_lines: int = 3) -> Batch:
    request = BatchRequest(
        input_file_id=uploaded(store, owner).id, endpoint="/v1/completions", completion_window="24h"
    )
    batch = store.batches.create(owner, store.place, request)
    store.batches.add_lines(batch, [line(number) for number in range(1, num_lines + 1)])
    return store.batches.accept(batch, num_lines, "fake")


def line(position: int) -> Line:
    return Line(position=position, custom_id=f"r{position}", start=0, length=1, turn=b"%d" % (9 - position))


def answer(text: bytes = b"yes\n", *, is_error: bool = False) -> Answer:
    return Answer(text=text, is_error=is_error, tokens=Tokens(prompt=5, completion=2))


def test_a_line_is_answered_once(store: Store) -> None:
    batch = begun(store)
    assert store.batches.answer(batch, line(2), answer())
    assert not store.batches.answer(batch, line(2), answer(b"no\n"))
    assert store.batches.answer(batch, line(3), answer(b"bad\n", is_error=True))
    now = store.batches.get("a", batch.id)
    assert (now.num_completed, now.num_failed, now.tokens.prompt) == (1, 1, 10)
    assert [item.position for item in store.batches.to_do(batch, None, 10)] == [1]
    assert store.batches.answers(batch, 0, 10) == [(2, False, b"yes\n"), (3, True, b"bad\n")]


def test_lines_come_in_their_turns_and_each_once(store: Store) -> None:
    batch = begun(store, num_lines=5)
    first = store.batches.to_do(batch, None, 2)
    rest = store.batches.to_do(batch, first[-1], 10)
    assert [item.position for item in [*first, *rest]] == [5, 4, 3, 2, 1]


def test_what_a_killed_server_left_is_found_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=1000)
    batch = begun(store)
    store.batches.answer(batch, line(1), answer())
    store.close()
    again = Store(tmp_path, max_bytes=1000)
    ((found, place),) = again.batches.unfinished()
    assert (found.id, found.num_completed, place) == (batch.id, 1, again.place)
    assert [item.position for item in again.batches.to_do(found, None, 10)] == [3, 2]
    again.close()


def test_an_owner_sees_its_own_alone(store: Store) -> None:
    batch, file = begun(store), uploaded(store)
    with pytest.raises(MissingError):
        store.batches.get("b", batch.id)
    with pytest.raises(MissingError):
        store.files.get("b", file.id)
    with pytest.raises(MissingError):
        store.files.delete("b", file.id)
    assert store.files.page("b", None, 10, "desc", None) == ([], False)
    assert store.batches.page("b", None, 10) == ([], False)


def test_pages(store: Store) -> None:
    files = [uploaded(store) for _ in range(5)]
    newest, has_more = store.files.page("a", None, 2, "desc", None)
    assert ([file.id for file in newest], has_more) == ([files[4].id, files[3].id], True)
    rest, has_more = store.files.page("a", newest[-1].id, 10, "desc", "batch")
    assert ([file.id for file in rest], has_more) == ([files[2].id, files[1].id, files[0].id], False)
    assert store.files.page("a", files[3].id, 10, "asc", None)[0] == [files[4]]
    assert store.files.page("a", None, 10, "asc", "batch_output") == ([], False)


def test_a_key_has_so_many_bytes_for_files_and_answers_together(store: Store) -> None:
    batch = begun(store)
    before = store.files.room("a")
    assert store.batches.answer(batch, line(1), answer(b"x" * 600))
    assert store.files.room("a") == before - 600
    uploaded(store, size=before - 600)
    with pytest.raises(NoRoomError, match="2000 bytes"):
        uploaded(store, size=1)
    assert uploaded(store, owner="b", size=2000).num_bytes == 2000


def test_what_is_noted_of_lines_counts_until_they_are_forgotten(store: Store) -> None:
    first, second = begun(store), begun(store)
    begun(store)
    with pytest.raises(NoRoomError, match="2000 bytes"):
        begun(store, num_lines=7)
    store.batches.finish(first, "completed", [])
    store.batches.drop_lines(second)
    assert begun(store, num_lines=7).num_total == 7


def test_only_so_many_batches_of_a_key_are_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_batches, "_MOST_KNOWN", 2)
    running, other = begun(store), begun(store, "b")
    ended = [store.batches.finish(begun(store, num_lines=1), "completed", []) for _ in range(3)]
    assert [batch.id for batch in store.batches.page("a", None, 10)[0]] == [
        ended[2].id,
        ended[1].id,
        running.id,
    ]
    assert store.batches.get("b", other.id) == other


def test_a_file_that_a_batch_reads_stays(store: Store) -> None:
    batch = begun(store)
    with pytest.raises(FileInUseError, match=batch.id):
        store.files.delete("a", batch.input_file_id)
    store.batches.finish(batch, "completed", [])
    store.files.delete("a", batch.input_file_id)
    assert not store.files.path(batch.input_file_id).exists()


def test_what_is_too_old_goes_and_what_nobody_knows_of(store: Store) -> None:
    old, new = uploaded(store, seconds=-1), uploaded(store)
    orphan, upload = store.files.path("file-orphan"), store.files.path("file-upload")
    for path in (orphan, upload):
        path.write_bytes(b"x")
    os.utime(orphan, (0, 0))
    with pytest.raises(MissingError):
        store.files.get("a", old.id)
    store.delete_old()
    assert sorted(path.name for path in orphan.parent.iterdir()) == sorted([new.id, "file-upload"])


def test_the_end_has_the_files_and_forgets_the_lines(store: Store) -> None:
    batch = begun(store)
    store.batches.answer(batch, line(1), answer())
    name = new_id("file-")
    store.files.path(name).write_bytes(b"yes\n")
    ended = store.batches.finish(batch, "completed", [(False, name, 4)])
    assert (ended.status, ended.output_file_id, ended.error_file_id) == ("completed", name, None)
    assert store.files.get("a", name).filename == f"{batch.id}_output.jsonl"
    assert store.batches.to_do(batch, None, 10) == []
    assert store.files.room("a") == 2000 - 10 - 4, "the answers count as the file alone"


def test_a_key_has_only_so_many_unfinished_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_batches, "MAX_UNFINISHED", 2)
    begun(store)
    begun(store)
    with pytest.raises(TooManyError):
        begun(store)
    assert begun(store, "b").status == "in_progress"


def test_a_key_has_only_so_many_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_files, "_MOST_FILES", 1)
    uploaded(store)
    with pytest.raises(NoRoomError, match="1 files"):
        uploaded(store)
