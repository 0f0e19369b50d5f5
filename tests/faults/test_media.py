"""Images that are made to do harm, and the end of the encoder in whatever it does, beside others' streams."""

import base64
import os
import signal
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.process import ServerProcess, child_pids, command_line, is_running, server_process
from tests.media_files import HOSTILE, image_file
from tests.tiny_projector import write_tiny_pair
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

MODEL = "sees"
# None is what an operator has allowed.
_ADDRESSES = (
    *(
        "http://127.0.0.1:1/a.png",
        "http://localhost/a.png",
        "http://[::1]/a.png",
        "http://169.254.169.254/latest",
    ),
    *(
        "http://example.org/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png;base64,%%%",
        "data:,",
        "",
    ),
)
_PARAM = "messages[0].content[1].image_url"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    model, _ = write_tiny_pair(tmp_path_factory.mktemp("sees"), "llava")
    return ("--model", str(model), "--model-id", MODEL, "--threads", "1")


@pytest.fixture
def server(options: Sequence[str]) -> Generator[ServerProcess, None, None]:
    with server_process(*options) as process:
        yield process


def encoder_pid(server: ServerProcess, *, after: int | None = None) -> int:
    """The process that encodes; waits until there is one, and another than `after`."""
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [pid for pid in child_pids(server.pid) if "caravan.media" in command_line(pid)]
        return bool(found) and after not in found

    wait_until(is_there)
    return found[0]


def ask(server: ServerProcess, url: str | bytes) -> httpx.Response:
    """A chat about an image, by its file or its address."""
    if isinstance(url, bytes):
        url = f"data:image/png;base64,{base64.b64encode(url).decode()}"
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    body = {
        "model": MODEL,
        "max_tokens": 4,
        "temperature": 0,
        "messages": [{"role": "user", "content": parts}],
    }
    return httpx.post(f"{server.url}/chat/completions", json=body, timeout=PATIENCE)


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def test_hostile_images_are_refused_or_right_and_cost_no_process(server: ServerProcess) -> None:
    pids = encoder_pid(server), server.engine_pid()
    expected = said(ask(server, image_file(0)))
    with bystanders(server.address, MODEL) as crowd:
        for hostile in HOSTILE:
            answer = ask(server, hostile.make())
            if hostile.reason is None:
                said(answer)
            else:
                error = answer.json()["error"]
                assert (answer.status_code, error["type"]) == (400, "invalid_request_error"), hostile.name
                assert error["param"] == _PARAM, hostile.name
                assert error["message"], hostile.name
            assert said(ask(server, image_file(0))) == expected
    crowd.seen.assert_unharmed()
    assert (encoder_pid(server), server.engine_pid()) == pids


def test_other_addresses_are_refused(server: ServerProcess) -> None:
    for url in _ADDRESSES:
        answer = ask(server, url)
        assert answer.status_code == 400, (url, answer.text)
        assert answer.json()["error"]["param"] == _PARAM, url


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_end_of_the_encoder_costs_the_image_that_it_reads(server: ServerProcess, number: int) -> None:
    expected = [said(ask(server, image_file(seed))) for seed in range(4)]
    # Another projector's process has none of them in its cache, nor has that of a server that starts anew.
    with (
        server_process(*_again(server)) as fresh,
        bystanders(fresh.address, MODEL) as crowd,
        ThreadPoolExecutor(4) as pool,
    ):
        encoder = encoder_pid(fresh)
        os.kill(encoder, signal.SIGSTOP)
        asked: list[Future[httpx.Response]] = [pool.submit(ask, fresh, image_file(seed)) for seed in range(4)]
        crowd.wait_for(2)
        os.kill(encoder, number)
        os.kill(encoder, signal.SIGCONT)
        answers = [future.result() for future in asked]
        lost = [answer for answer in answers if answer.status_code != 200]
        assert len(lost) == 1
        assert lost[0].status_code == 500
        assert lost[0].json()["error"]["param"] == _PARAM
        for text, answer in zip(expected, answers, strict=True):
            assert answer in lost or said(answer) == text
        assert [said(ask(fresh, image_file(seed))) for seed in range(4)] == expected
        encoder_pid(fresh, after=encoder)
    crowd.seen.assert_unharmed()


def test_the_end_of_the_encoder_at_rest_costs_nothing(server: ServerProcess) -> None:
    encoder = encoder_pid(server)
    os.kill(encoder, signal.SIGKILL)
    wait_until(lambda: not is_running(encoder))
    said(ask(server, image_file(0)))
    encoder_pid(server, after=encoder)


def test_an_encoder_that_stands_still_is_replaced(options: Sequence[str]) -> None:
    with server_process(*options, "--media-seconds", "2") as server:
        encoder = encoder_pid(server)
        os.kill(encoder, signal.SIGSTOP)
        with bystanders(server.address, MODEL) as crowd:
            answer = ask(server, image_file(0))
            assert answer.status_code == 500
            assert "2 seconds" in answer.json()["error"]["message"]
            said(ask(server, image_file(0)))
        crowd.seen.assert_unharmed()
        encoder_pid(server, after=encoder)


def test_a_killed_server_leaves_no_encoder_and_the_next_one_no_files(options: Sequence[str]) -> None:
    with server_process(*options) as server:
        said(ask(server, image_file(0)))
        encoder = encoder_pid(server)
        folder = _folder_of(server)
        assert len(list(folder.iterdir())) == 2
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(encoder))
    # Any server that starts on this machine removes it.
    with server_process(*options) as server:
        assert not folder.exists()
        folder = _folder_of(server)
    assert not folder.exists()


def _folder_of(server: ServerProcess) -> Path:
    """Where its embeddings are: it holds the lock of that folder."""
    links = [os.readlink(link) for link in Path(f"/proc/{server.pid}/fd").iterdir()]
    (lock,) = (Path(link) for link in links if "caravan-media-" in link)
    return lock.parent


def _again(server: ServerProcess) -> Sequence[str]:
    """The options of a server."""
    words = Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")
    return [word for word in words[words.index("0") + 1 :] if word]
