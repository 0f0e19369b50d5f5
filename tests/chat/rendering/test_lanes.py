"""Long conversations have a process of their own, and only while it is needed."""

import time
from concurrent.futures import ThreadPoolExecutor

from caravan.auth.principal import Principal
from caravan.chat.rendering.client import TemplateLanes
from caravan.chat.rendering.prompt_template import CHATML
from caravan.chat.rendering.turns import Conversation, Turn

from tests.chat.rendering.test_client import _children
from tests.waiting import PATIENCE

HI = Conversation([Turn(0, "user", "Hi")])
# A second or more of a processor.
LONG = Conversation([Turn(place, "user", "Hi") for place in range(32_000)])


def test_a_short_conversation_does_not_wait_for_long_ones() -> None:
    template = TemplateLanes(CHATML)
    mallory, alice = (Principal(id=name, name=name) for name in ("mallory", "alice"))
    try:
        with ThreadPoolExecutor(4) as pool:
            long = [pool.submit(template.write, LONG, mallory, is_long=True) for _ in range(3)]
            time.sleep(0.2)
            begun = time.monotonic()
            assert "Hi" in template.write(HI, alice)
            waited = time.monotonic() - begun
            assert not any(each.done() for each in long)
            took = [len(each.result()) for each in long]
            assert waited < (time.monotonic() - begun) / 4
        assert min(took) > 32_000
    finally:
        template.close()


def test_the_process_of_long_ones_ends_when_nobody_asks_and_comes_back() -> None:
    before = _children()
    template = TemplateLanes(CHATML, idle_seconds=0.2)
    try:
        assert len(_children()) == len(before) + 1
        for _ in range(2):
            assert template.write(HI, is_long=True) == template.write(HI)
            deadline = time.monotonic() + PATIENCE
            while len(_children()) > len(before) + 1:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert template.write(HI, is_long=True)
    finally:
        template.close()
    assert _children() == before
