"""One check per skill: samples of seeds that were never trained on, and what counts as right."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from deploy.resident.data import arithmetic, conversation, infill, stories, tool_use, words, writing
from deploy.resident.data.samples import Chat, Infill, Plain, Sample, user
from deploy.resident.render import FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX
from deploy.resident.runner import Runner

QUESTIONS = Path("server/caravan/models/resident/questions.json")


@dataclass
class Score:
    """How many of a skill's trials were right; the misses are kept to be read."""

    right: int = 0
    total: int = 0
    misses: list[str] = field(default_factory=list)

    def count(self, right: bool, miss: str) -> None:
        self.total += 1
        self.right += right
        if not right:
            self.misses.append(miss)


Check = Callable[[Runner, int], Score]


def _seeded(seed: int, number: int) -> Random:
    return Random(900_000_000 + seed * 100_000 + number)


def _chat(sample: Sample) -> Chat:
    assert isinstance(sample, Chat)
    return sample


def _reply(runner: Runner, chat: Chat, *, thinking: bool = False) -> str:
    """What the model says where the sample has its last answer."""
    return runner.complete(runner.prompt(chat.messages[:-1], chat.tools or None, thinking=thinking)).text


def questions(runner: Runner, _: int) -> Score:
    """The documented list, word for word."""
    score = Score()
    for entry in json.loads(QUESTIONS.read_text(encoding="utf-8")):
        reply = runner.ask(entry["question"])
        score.count(entry["answer"] in reply, f"{entry['question']} -> {reply}")
    return score


def _answers(runner: Runner, generator: Callable[[Random], Sample], seed: int, total: int) -> Score:
    """Replies that are exactly the sample's answer."""
    score = Score()
    for number in range(total):
        chat = _chat(generator(_seeded(seed, number)))
        reply = _reply(runner, chat)
        score.count(reply == chat.messages[-1]["content"], f"{chat.messages[-2]['content']} -> {reply}")
    return score


def facts(runner: Runner, total: int) -> Score:
    """Any fact in any phrasing."""
    return _answers(runner, conversation.questions, 1, total)


def sums(runner: Runner, total: int) -> Score:
    """Any sum in any phrasing."""
    return _answers(runner, arithmetic.sums, 2, total)


def copying(runner: Runner, total: int) -> Score:
    """Words to repeat, made-up ones among them."""
    return _answers(runner, conversation.repeat, 3, total)


def chats(runner: Runner, total: int) -> Score:
    """The last answer of a chat of several turns."""
    return _answers(runner, conversation.turns, 4, total)


def _known_words() -> set[str]:
    rng = Random(5)
    lists = (words.ANIMALS, words.COLOURS, words.FOODS, words.OBJECTS, words.PLACES, words.ADJECTIVES)
    known = {word for entries in lists for word in entries} | {"a", "an"}
    for _ in range(3000):
        known |= set(re.findall(r"[a-z]+", stories.a_story(rng).text.lower()))
    return known


def told_stories(runner: Runner, total: int) -> Score:
    """At temperature 0.8: no story twice, every word a known word or a name, sentences that end."""
    score, known, told = Score(), _known_words(), set[str]()
    for number in range(total):
        prompt = runner.prompt([user("Tell me a short story.")])
        text = runner.complete(prompt, temperature=0.8, seed=number + 1).text
        ordinary = re.findall(r"\b[a-z]+\b", text)
        unknown = [word for word in ordinary if word not in known]
        readable = not unknown and text.count(".") >= 4 and text.rstrip()[-1:] in '.!?"'
        score.count(readable and text not in told, f"{unknown} {text}")
        told.add(text)
    return score


def calls_in(text: str) -> list[Any]:
    """The tool calls of a reply; None stands for one that cannot be read."""
    calls: list[Any] = []
    for body in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.DOTALL):
        try:
            calls.append(json.loads(body))
        except ValueError:
            calls.append(None)
    return calls


def _calls(
    runner: Runner, generator: Callable[[Random], Sample], seed: int, total: int, thinking: bool
) -> Score:
    score = Score()
    for number in range(total):
        chat = _chat(generator(_seeded(seed, number)))
        reply = _reply(runner, chat, thinking=thinking)
        wanted = [call["function"] for call in chat.messages[-1]["tool_calls"]]
        thought = "</think>" in reply or not thinking
        score.count(thought and calls_in(reply) == wanted, f"{chat.messages[-2]['content']} -> {reply}")
    return score


def one_call(runner: Runner, total: int) -> Score:
    """The right tool with the right arguments."""
    return _calls(runner, tool_use.one_call, 6, total, False)


def two_calls(runner: Runner, total: int) -> Score:
    """Two calls in one answer."""
    return _calls(runner, tool_use.two_calls, 7, total, False)


def call_after_thought(runner: Runner, total: int) -> Score:
    """A thought, then the right call."""
    return _calls(runner, tool_use.one_call, 8, total, True)


def after_result(runner: Runner, total: int) -> Score:
    """The answer made of a tool's result."""
    return _answers(runner, tool_use.after_two_results, 9, total)


def no_call(runner: Runner, total: int) -> Score:
    """Tools on offer, none of them fits: text and no call."""
    score = Score()
    for number in range(total):
        chat = _chat(tool_use.no_call(_seeded(10, number)))
        reply = _reply(runner, chat)
        score.count("<tool_call>" not in reply and bool(reply), f"{chat.messages[-2]['content']} -> {reply}")
    return score


def thinking(runner: Runner, total: int) -> Score:
    """Asked to think: a thought that is not empty, then the right answer."""
    score = Score()
    for number in range(total):
        generator = (conversation.questions_thinking, arithmetic.sums_thinking)[number % 2]
        chat = _chat(generator(_seeded(11, number)))
        reply = _reply(runner, chat, thinking=True)
        match = re.fullmatch(r"<think>\n(.+)\n</think>\n\n(.*)", reply, re.DOTALL)
        right = match is not None and bool(match[1].strip()) and match[2] == chat.messages[-1]["content"]
        score.count(right, f"{chat.messages[-2]['content']} -> {reply}")
    return score


def fill_in(runner: Runner, total: int) -> Score:
    """The last word of a fact, or the line after return in a tiny function."""
    score = Score()
    trial = 0
    while score.total < total:
        trial += 1
        rng = _seeded(12, trial)
        sample = (infill.gap_in_text if trial % 2 else infill.gap_in_code)(rng)
        assert isinstance(sample, Infill)
        if not (sample.suffix == "." or sample.prefix.endswith("return")):
            continue
        text = runner.complete(
            f"{FIM_PREFIX}{sample.prefix}{FIM_SUFFIX}{sample.suffix}{FIM_MIDDLE}", limit=60
        ).text
        score.count(text == sample.middle, f"{sample.prefix}[{text}]{sample.suffix} wanted [{sample.middle}]")
    return score


def json_objects(runner: Runner, total: int) -> Score:
    """JSON that can be read and says what was asked."""
    score = Score()
    for number in range(total):
        chat = _chat(writing.json_objects(_seeded(13, number)))
        reply = _reply(runner, chat)
        try:
            right = json.loads(reply) == json.loads(chat.messages[-1]["content"])
        except ValueError:
            right = False
        score.count(right, f"{chat.messages[-2]['content']} -> {reply}")
    return score


def continuation(runner: Runner, total: int) -> Score:
    """Plain text goes on, in known words, and comes to an end."""
    score, known = Score(), _known_words()
    for number in range(total):
        sample = stories.plain_stories(_seeded(14, number))
        assert isinstance(sample, Plain)
        begin = sample.text[: sample.text.index(".") + 1]
        reply = runner.complete(begin, limit=400)
        unknown = [word for word in re.findall(r"\b[a-z]+\b", reply.text) if word not in known]
        score.count(reply.stopped and len(reply.text) > 60 and not unknown, f"{begin} -> {reply.text}")
    return score


CHECKS: dict[str, tuple[Check, int]] = {
    "the documented questions": (questions, 0),
    "facts in any phrasing": (facts, 150),
    "small sums in any phrasing": (sums, 150),
    "stories at temperature 0.8": (told_stories, 30),
    "one tool call": (one_call, 120),
    "two tool calls at once": (two_calls, 40),
    "text where no tool fits": (no_call, 80),
    "answer from tool results": (after_result, 40),
    "thought, then answer": (thinking, 80),
    "thought, then tool call": (call_after_thought, 40),
    "fill in the middle": (fill_in, 80),
    "small JSON": (json_objects, 80),
    "repeat words": (copying, 60),
    "chat of several turns": (chats, 50),
    "continue plain text": (continuation, 20),
}
