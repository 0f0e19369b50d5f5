"""Long conversations have a process of their own, and only while it is needed."""

from concurrent.futures import ThreadPoolExecutor

from caravan.auth.principal import Principal
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.prompt_template import CHATML
from caravan.chat.rendering.turns import Conversation, Turn

from tests.chat.rendering.test_client import LOOPS, _children, _cpu_seconds, hostile_if_bad
from tests.waiting import wait_until

HI, BAD = (Conversation([Turn(0, "user", text)]) for text in ("Hi", "bad"))
LONG = Conversation([Turn(place, "user", "Hi") for place in range(3000)])


def test_a_short_conversation_does_not_wait_for_long_ones() -> None:
    before = _children()
    template = TemplateProcess(hostile_if_bad(LOOPS))
    mallory, alice = (Principal(id=name, name=name) for name in ("mallory", "alice"))
    with ThreadPoolExecutor(3) as pool:
        try:
            (short,) = set(_children()) - set(before)
            assert template.write(LONG, mallory, is_long=True) == "Hi" * 3000
            (long,) = set(_children()) - {short, *before}
            used = _cpu_seconds(long)
            # Each may take five seconds of a processor.
            writing = [pool.submit(template.write, BAD, mallory, is_long=True) for _ in range(3)]
            wait_until(lambda: _cpu_seconds(long) > used + 0.2)
            assert template.write(HI, alice) == "Hi"
            assert not any(each.done() for each in writing)
        finally:
            template.close()


def test_the_process_of_long_ones_ends_when_nobody_asks_and_comes_back() -> None:
    before = _children()
    template = TemplateProcess(CHATML, idle_seconds=0.2)
    try:
        assert len(_children()) == len(before) + 1
        for _ in range(2):
            assert template.write(HI, is_long=True) == template.write(HI)
            wait_until(lambda: len(_children()) == len(before) + 1)
        assert template.write(HI, is_long=True)
    finally:
        template.close()
    assert _children() == before
