"""Templates in a process of their own: right answers, and hostile ones that cost nobody else anything."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.local import LocalTemplate
from caravan.chat.rendering.prompt_template import CHATML, TemplateSyntaxError
from caravan.chat.rendering.turns import Call, Conversation, Turn
from caravan.errors import InvalidRequestError
from caravan.runtime.machine import process_sample

from tests.chat.rendering.sources import WHOLE
from tests.waiting import PATIENCE, wait_until

SHOWN = "{% for m in messages %}{{ m.content }}{% endfor %}"
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
GROWING = "{% set l = [] %}{% for i in range(99999) %}{% set _ = l.append(('x' ~ i) * 20000) %}{% endfor %}"


def hostile_if_bad(deed: str) -> str:
    """A template that does it where a message says so, and is harmless in what it is tried with."""
    return "{% if messages[0].content == 'bad' %}" + deed + "{% endif %}" + SHOWN


HI, BAD = (Conversation([Turn(0, "user", text)]) for text in ("Hi", "bad"))


@pytest.fixture
def whole() -> Iterator[TemplateProcess]:
    template = TemplateProcess(WHOLE)
    yield template
    template.close()


def test_it_writes_what_a_template_here_writes(whole: TemplateProcess) -> None:
    local = LocalTemplate(WHOLE)
    assert (whole.traits, whole.variables) == (local.traits, local.variables)
    call = Call("a", "f", {"x": [2**70, 1.5, None, True, "é\ud800\n"], "y": {"z": {}}})
    turns = [
        Turn(0, "user", "héllo \x00\ud83d "),
        Turn(1, "assistant", None, (call,), "hm"),
        Turn(2, "tool", "ok", name="f", call_id="a"),
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"maximum": 2**80}}}
    conversation = Conversation(turns, [tool], {"x": {"deep": [1]}})
    assert whole.write(conversation) == local.write(conversation)
    assert str(2**70) in whole.write(conversation)


def test_refusals_come_with_their_place(whole: TemplateProcess) -> None:
    last = TemplateProcess("{{ messages[-1].content }}")
    with pytest.raises(InvalidRequestError) as caught:
        last.write(Conversation([Turn(0, "user", "a"), Turn(3, "assistant", "b"), Turn(4, "user", "c")]))
    last.close()
    assert (caught.value.param, caught.value.code, caught.value.status) == (
        "messages[0]",
        "invalid_value",
        400,
    )
    with pytest.raises(InvalidRequestError, match="No role"):
        whole.write(Conversation([Turn(0, "nobody", "a")]))
    assert whole.write(HI) == "<user>Hi<assistant>"


@pytest.mark.parametrize("source", ["{% if %}", "{{ x | nofilter }}", "{{ " + "(" * 5000])
def test_what_does_not_compile_is_told(source: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="does not compile"):
        TemplateProcess(source)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(LOOPS, id="loops"),
        pytest.param("{{ 9 ** (9 ** 9) }}", id="a constant that never ends"),
        pytest.param("{{ (messages | length + 8) ** (9 ** 9) }}", id="a power that never ends"),
        pytest.param(GROWING, id="memory"),
    ],
)
def test_what_cannot_be_tried_is_told(source: str) -> None:
    with pytest.raises(TemplateSyntaxError, match=r"to be tried|does not compile"):
        TemplateProcess(source, seconds=0.5)


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(LOOPS, id="loops"),
        pytest.param("{{ (messages | length + 8) ** (9 ** 9) }}", id="a power that never ends"),
        pytest.param(GROWING, id="memory"),
        pytest.param("{{ 'x' * 10 ** 12 }}", id="memory at once"),
        pytest.param("{{ 'x' * (messages | length * 10 ** 8) }}", id="a long prompt"),
    ],
)
def test_a_prompt_that_takes_too_much_is_refused_and_the_next_one_is_written(deed: str) -> None:
    template = TemplateProcess(hostile_if_bad(deed), seconds=0.5)
    try:
        for _ in range(2):
            with pytest.raises(InvalidRequestError, match=r"takes too (long|much)") as caught:
                template.write(BAD)
            assert (caught.value.param, caught.value.code) == ("messages", "template_limit")
            assert template.write(HI) == "Hi"
    finally:
        template.close()


def test_others_go_on_meanwhile(whole: TemplateProcess) -> None:
    before = _children()
    hostile = TemplateProcess(hostile_if_bad(LOOPS))
    (pid,) = set(_children()) - set(before)
    used = _cpu_seconds(pid)
    with ThreadPoolExecutor(2) as pool:
        try:
            # Each may take five seconds of a processor.
            writing = [pool.submit(hostile.write, BAD) for _ in range(2)]
            wait_until(lambda: _cpu_seconds(pid) > used + 0.2)
            assert whole.write(HI) == "<user>Hi<assistant>"
            assert not any(future.done() for future in writing)
        finally:
            hostile.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
def test_a_process_that_is_lost_is_replaced_and_nobody_is_told(
    whole: TemplateProcess, number: signal.Signals
) -> None:
    (pid,) = _children()
    os.kill(pid, number)
    assert whole.write(HI) == "<user>Hi<assistant>"
    assert pid not in _children()
    assert whole.write(HI) == "<user>Hi<assistant>"


def test_a_process_that_is_stopped_while_it_writes_is_replaced() -> None:
    loops = "{% for i in range(40) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    slow = TemplateProcess(hostile_if_bad(loops))
    (pid,) = _children()
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(slow.write, BAD)
        while "R" not in _states(pid) and not written.done():
            time.sleep(0.001)
        os.kill(pid, signal.SIGSTOP)
        assert written.result(PATIENCE) == "bad"
    slow.close()


WITHOUT_DESCRIPTORS = """
import os, resource
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.turns import Conversation, Turn
from caravan.errors import EngineUnavailableError

template = TemplateProcess("{{ messages[0].content }}")
hi = Conversation([Turn(0, "user", "Hi")])
assert template.write(hi) == "Hi"
template._usual._running.process.kill()
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 2, before[1]))
try:
    template.write(hi)
    raise SystemExit("it was written")
except EngineUnavailableError as error:
    assert error.retry_after
resource.setrlimit(resource.RLIMIT_NOFILE, before)
assert template.write(hi) == "Hi"
template.close()
"""


def test_without_descriptors_it_is_told_and_tried_again() -> None:
    """In a process of its own, which has as many files open as it may."""
    script = [sys.executable, "-c", WITHOUT_DESCRIPTORS]
    done = subprocess.run(script, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_nothing_is_left_behind() -> None:
    before = _children()
    template = TemplateProcess(CHATML)
    assert len(_children()) == len(before) + 1
    template.close()
    template.close()
    assert _children() == before


def _cpu_seconds(pid: int) -> float:
    sample = process_sample(pid)
    assert sample is not None
    return sample.cpu_seconds


def _states(pid: int) -> frozenset[str]:
    sample = process_sample(pid)
    return frozenset() if sample is None else sample.states


def _children() -> list[int]:
    """Processes of templates that this one has started."""
    found = []
    for task in os.listdir("/proc/self/task"):
        # A thread may have ended meanwhile.
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children") as file:
            found += file.read().split()
    return sorted(pid for pid in map(int, found) if "rendering.process" in _command(pid))


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()
