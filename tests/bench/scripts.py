"""The scripts of the workloads: what each client sends, drawn from a generator."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import vocabulary
from tests.bench.plan import Body, Script

_PAGES = Path(__file__).parents[2] / "docs"

GREEDY: Body = {"temperature": 0}
SAMPLED: Body = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
PENALTIES: Body = {"repeat_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.2}
# Endless for the limits of tokens here: no answer ends early. The short first request has it compiled.
RECORDS: Body = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "people",
            "schema": {
                "type": "array",
                "minItems": 100,
                "items": {
                    "type": "object",
                    "properties": {
                        "first_name": {"type": "string", "maxLength": 60},
                        "occupation": {"enum": ["astronaut", "engineer", "gardener"]},
                        "age": {"type": "integer"},
                    },
                    "required": ["first_name", "occupation", "age"],
                    "additionalProperties": False,
                },
            },
        },
    }
}


@dataclass(frozen=True)
class Scale:
    """How much is sent: 1 is the full mode."""

    factor: float

    def __call__(self, count: int) -> int:
        return max(1, round(count * self.factor))


def body(prompt: str, max_tokens: int, fields: Body = GREEDY) -> Body:
    """A streamed text completion."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": "bench", "prompt": prompt, "max_tokens": max_tokens, **options, **fields}


def chat_body(text: str, max_tokens: int, fields: Body = GREEDY) -> Body:
    """A streamed turn of a chat."""
    turn = body("", max_tokens, fields) | {"messages": [{"role": "user", "content": text}]}
    del turn["prompt"]
    return turn


def closed_loop(
    num_clients: int, requests_each: int, prompt_tokens: int, max_tokens: int, fields: Body = GREEDY
) -> Callable[[random.Random, Scale], list[Script]]:
    """Clients that send one request after the other, each with a prompt of its own."""

    def scripts(generator: random.Random, scale: Scale) -> list[Script]:
        return [
            Script(
                bodies=[
                    body(vocabulary.words(prompt_tokens, generator), max_tokens, fields)
                    for _ in range(scale(requests_each))
                ]
            )
            for _ in range(num_clients)
        ]

    return scripts


def pages() -> str:
    """Our documentation: text that trained models go on with."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted(_PAGES.glob("*.md")))


def prose(
    num_clients: int, requests_each: int, max_tokens: int
) -> Callable[[random.Random, Scale], list[Script]]:
    """As `closed_loop`, for trained models: prompts are some lines of our documentation, and an end of the
    text is none.
    """

    def scripts(generator: random.Random, scale: Scale) -> list[Script]:
        lines = [line for line in pages().splitlines() if line[:1].isalpha()]
        fields = GREEDY | {"ignore_eos": True}
        return [
            Script(
                bodies=[
                    body("\n".join(generator.sample(lines, 4)), max_tokens, fields)
                    for _ in range(scale(requests_each))
                ]
            )
            for _ in range(num_clients)
        ]

    return scripts


def chats(
    num_clients: int, requests_each: int, max_tokens: int, fields: Body
) -> Callable[[random.Random, Scale], list[Script]]:
    """As `closed_loop`, by chat, of 32 tokens each."""

    def scripts(generator: random.Random, scale: Scale) -> list[Script]:
        return [
            Script(
                bodies=[
                    chat_body(vocabulary.words(32, generator), max_tokens, {"temperature": 0.8, **fields})
                    for _ in range(scale(requests_each))
                ]
            )
            for _ in range(num_clients)
        ]

    return scripts


def shared_prefix(generator: random.Random, scale: Scale) -> list[Script]:
    """16 requests, 8 at once."""
    prefix = vocabulary.words(800, generator)
    prompts = [prefix + vocabulary.words(20, generator) for _ in range(8 * max(1, scale(2)))]
    return [Script(bodies=[body(prompt, 16) for prompt in prompts[client::8]]) for client in range(8)]


def conversations(generator: random.Random, _scale: Scale) -> list[Script]:
    """Eight of four turns each."""
    return [
        Script(
            bodies=[chat_body(vocabulary.words(40, generator), 96) for _ in range(4)], is_conversation=True
        )
        for _ in range(8)
    ]


def newcomers(generator: random.Random, scale: Scale) -> list[Script]:
    """Four streams run; then one prompt of 1,200 tokens after the other arrives."""
    streams = [
        Script(group="streams", bodies=[body(vocabulary.words(30, generator), 80 + 120 * scale(2))])
        for _ in range(4)
    ]
    arrivals = [body(vocabulary.words(1200, generator), 8) for _ in range(scale(3))]
    return [*streams, Script(group="newcomers", waits=True, bodies=arrivals)]


def reranks(
    num_clients: int, requests_each: int, num_documents: int
) -> Callable[[random.Random, Scale], list[Script]]:
    """Clients that have documents of 100 tokens sorted, one request after the other."""

    def scripts(generator: random.Random, scale: Scale) -> list[Script]:
        return [
            Script(
                bodies=[
                    {
                        "model": "bench",
                        "query": vocabulary.words(10, generator),
                        "documents": [vocabulary.words(100, generator) for _ in range(num_documents)],
                    }
                    for _ in range(scale(requests_each))
                ],
                units=num_documents,
            )
            for _ in range(num_clients)
        ]

    return scripts


def decisions(
    num_clients: int, requests_each: int, num_questions: int, *, as_json: bool = False
) -> Callable[[random.Random, Scale], list[Script]]:
    """Clients with predicates about a text of 400 tokens; or that have them answered by an object."""
    asked = [f"What is said about {number} is right." for number in range(num_questions)]

    def body_of(generator: random.Random) -> Body:
        text = vocabulary.words(400, generator)
        if not as_json:
            questions = [{"type": "predicate", "instructions": one} for one in asked]
            return {"model": "bench", "input": text, "questions": questions}
        names = [f"q{number}" for number in range(num_questions)]
        schema = {
            "type": "object",
            "properties": {name: {"enum": ["Yes", "No"]} for name in names},
            "required": names,
            "additionalProperties": False,
        }
        format_ = {"type": "json_schema", "json_schema": {"name": "answers", "schema": schema}}
        content = "\n".join([text, *asked])
        plain = {"model": "bench", "messages": [{"role": "user", "content": content}], "max_tokens": 400}
        return plain | GREEDY | {"response_format": format_}

    def scripts(generator: random.Random, scale: Scale) -> list[Script]:
        return [
            Script(bodies=[body_of(generator) for _ in range(scale(requests_each))], units=num_questions)
            for _ in range(num_clients)
        ]

    return scripts
