"""The `caravan` command as an operator meets it: a process of its own, with a real engine."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from caravan.web import startup_checks

from tests.conftest import TinyModels
from tests.faults.process import child_pids, is_running
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "caravan", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, check=False)


@contextlib.contextmanager
def serving(*options: str) -> Generator[tuple[subprocess.Popen[str], str], None, None]:
    """A server, and what it printed once it was ready."""
    command = [sys.executable, "-m", "caravan", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            shown = ""
            while "another model" not in shown:
                line = process.stdout.readline()
                assert line, "the server ended early"
                shown += line
            yield process, shown
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")
def test_serve_prints_what_works_and_ends_cleanly(tiny_models: TinyModels) -> None:
    with serving("--model", str(tiny_models["qwen2"]), "--model-id", "it's", "--context-size", "128") as (
        process,
        shown,
    ):
        found = re.search(r"http://127\.0\.0\.1:\d+/v1", shown)
        assert found is not None
        assert httpx.get(f"{found[0].removesuffix('/v1')}/ready").status_code == 200
        command = shown[shown.index("curl") : shown.index("another model")]
        words = shlex.split(command.replace("\\\n", " "))
        answer = httpx.post(words[1], content=words[words.index("-d") + 1], timeout=PATIENCE)
        assert answer.json()["model"] == "it's"
        children = child_pids(process.pid)
        assert children
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        wait_until(lambda: not any(map(is_running, children)))


@pytest.mark.parametrize(("grace", "num_tokens", "last"), [("0", 60_000, '{"error":'), ("60", 60, "[DONE]")])
def test_a_signal_in_the_middle_of_a_stream(
    tiny_models: TinyModels, grace: str, num_tokens: int, last: str
) -> None:
    """With time left the stream goes to its end; without, it ends with one error."""
    options = ("--shutdown-seconds", grace, "--context-size", "65536")
    with serving("--model", str(tiny_models["qwen2"]), *options) as (process, shown):
        base = shown[shown.index("http://") :].split()[0]
        body = {
            "model": tiny_models["qwen2"].stem,
            "prompt": "Hi",
            "n": 16,
            "stream": True,
            "ignore_eos": True,
            "max_tokens": num_tokens,
        }
        with httpx.stream("POST", f"{base}/completions", json=body, timeout=PATIENCE) as response:
            events = (line for line in response.iter_lines() if line)
            next(events)
            process.send_signal(signal.SIGINT)
            assert list(events)[-1].startswith(f"data: {last}")
        assert process.wait(PATIENCE) == 0


def test_the_listener_names_its_protocol() -> None:
    with startup_checks.listening_socket("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_one_line(tiny_models: TinyModels) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", "--port", port, "--model", str(tiny_models["qwen2"]))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"caravan: cannot listen on 127.0.0.1:{port}: ")
    assert ended.stderr.count("\n") == 1


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    ended = run("serve", "--port", "0", "--model", str(path))
    assert (ended.returncode, ended.stderr) == (1, f"caravan: no such file: {path}\n")


def test_a_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    for content, complaint in (
        ("hello", f"caravan: {path}: this is not a GGUF file\n"),
        ("GGUF", f"caravan: {path}: the file is cut off or damaged\n"),
    ):
        path.write_text(content)
        ended = run("serve", "--port", "0", "--model", str(path))
        assert ended.returncode == 1
        assert ended.stderr.startswith(complaint)
        assert ended.stderr.count("\n") == 1


def test_a_template_that_does_not_compile_is_one_line(tiny_models: TinyModels, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{% if %}")
    ended = run("serve", "--port", "0", "--model", str(tiny_models["qwen2"]), "--chat-template", str(file))
    assert ended.returncode == 1
    assert ended.stderr.startswith("caravan: the chat template does not compile: ")
    ended = run("serve", "--port", "0", "--model", str(tiny_models["qwen2"]), "--chat-template", "/none")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)


def test_an_engine_that_cannot_start_is_a_line_and_no_traceback(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    """A file with a whole vocabulary whose weights are cut off."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_models["qwen2"].read_bytes()[:-1000])
    ended = run("serve", "--port", "0", "--model", str(cut))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("caravan: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 0), (["--help"], 0), (["version"], 0), (["sevre"], 2), (["serve", "--prot", "1"], 2)],
)
def test_usage(words: list[str], code: int) -> None:
    ended = run(*words)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert ended.stdout if code == 0 else ended.stderr.startswith("caravan: ")


def test_nothing_is_left_in_the_environment_of_the_tests() -> None:
    """Options of a developer's own shell would change what these tests see."""
    assert [name for name in os.environ if name.startswith("CARAVAN_")] == ["CARAVAN_DATA_DIR"]


def test_the_door_stays_shut_without_keys(tmp_path: Path) -> None:
    options = ["serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)]
    refused = run(*options)
    assert refused.returncode == 1
    assert "caravan keys add NAME" in refused.stderr
    assert "--allow-anonymous" in refused.stderr


@pytest.mark.parametrize("end", ["revoked", "deleted", "named", "CARAVAN_API_KEY", "CARAVAN_KEYS_FILE"])
def test_a_server_that_had_keys_starts_open_only_when_it_is_told_to(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARAVAN_DATA_DIR", str(tmp_path))
    if end == "named":
        monkeypatch.setenv("CARAVAN_KEYS_FILE", str(tmp_path / "nowhere.json"))
    elif end.isupper():
        monkeypatch.setenv(end, "")
    else:
        assert run("keys", "add", "alice").returncode == 0
        if end == "revoked":
            assert "the last" in run("keys", "revoke", "alice").stderr
        else:
            (tmp_path / "keys.json").unlink()
        assert "nobody may use" in run("keys", "list").stderr
        # Other machines' access to a server without keys is not the word for it.
        monkeypatch.setenv("CARAVAN_ALLOW_ANONYMOUS", "true")
    refused = run("serve", "--port", "0")
    assert refused.returncode == 1
    assert "--no-auth" in refused.stderr
    assert refused.stderr.count("\n") == 1
    if end == "deleted":
        (tmp_path / "keys.json").write_text("what makes no sense is not read where no key is asked for")
    with serving("--no-auth") as (_process, shown):
        base = re.search(r"base URL: (\S+)", shown)
        assert base is not None
        assert httpx.get(f"{base[1]}/models").status_code == 200


def test_the_word_for_no_keys_and_a_key_contradict_each_other() -> None:
    refused = run("serve", "--port", "0", "--no-auth", "--api-key", "secret")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "--api-key" in refused.stderr
    assert run("serve", "--port", "0", "--api-key", " ").returncode == 2


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    file = ("--keys-file", str(tmp_path / "keys.json"))
    made = run("keys", "add", "alice", "--tokens-per-minute", "500", *file)
    assert made.stdout.startswith("sk-caravan-")
    assert run("keys", "add", "alice", *file).returncode == 1
    listed = run("keys", "list", *file)
    assert "alice" in listed.stdout
    assert "500 tokens/min" in listed.stdout
    assert made.stdout.strip() not in listed.stdout
    with serving(*file) as (_process, shown):
        base = re.search(r"base URL: (\S+)", shown)
        assert base is not None
        assert "keys:     on; there is one, and every request needs one" in shown
        assert '-H "Authorization: Bearer $KEY"' in shown
        key = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert httpx.get(f"{base[1]}/models").status_code == 401
        assert httpx.get(f"{base[1]}/models", headers=key).status_code == 200
        assert run("keys", "revoke", "alice", *file).returncode == 0
        assert httpx.get(f"{base[1]}/models").status_code == 401, "no key is left, and nobody comes in"
