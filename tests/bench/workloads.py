"""The workloads: what is sent, to which model, and what our server has to reach with it.

Everything is drawn from the workload's seed, so all servers of a repeat get the same requests, and no two
repeats do.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench import vocabulary
from tests.bench.plan import Body, Script
from tests.bench.targets import How, Target

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"

_GREEDY: Body = {"temperature": 0}
_SAMPLED: Body = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
_PENALTIES: Body = {"repeat_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.2}
_MB = 1e6


@dataclass(frozen=True)
class Scale:
    """How much is sent: 1 is the full mode."""

    factor: float

    def __call__(self, count: int) -> int:
        return max(1, round(count * self.factor))


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`parallel` sequences of `context` tokens are what every server has memory for.

    `optional` fields are sent where a server takes them. The groups say whose times to the first token and
    whose gaps are measured; None is all.
    """

    name: str
    title: str
    model: str
    context: int
    parallel: int
    scripts: Callable[[random.Random, Scale], list[Script]]
    path: str = COMPLETIONS
    optional: Body = field(default_factory=dict)
    max_running: int | None = None
    ttft_group: str | None = None
    gap_group: str | None = None
    # Sequences and tokens each for `llama-batched-bench`, where its speed is the limit to compare with.
    raw_decode: tuple[int, int] | None = None
    raw_prefill: int | None = None
    targets: tuple[Target, ...] = ()
    is_quick: bool = True


def body(prompt: str, max_tokens: int, fields: Body = _GREEDY) -> Body:
    """A streamed text completion."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": "bench", "prompt": prompt, "max_tokens": max_tokens, **options, **fields}


def chat_body(text: str, max_tokens: int, fields: Body = _GREEDY) -> Body:
    """A streamed turn of a chat."""
    turn = body("", max_tokens, fields) | {"messages": [{"role": "user", "content": text}]}
    del turn["prompt"]
    return turn


def closed_loop(
    num_clients: int, requests_each: int, prompt_tokens: int, max_tokens: int, fields: Body = _GREEDY
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


def _shared_prefix(generator: random.Random, scale: Scale) -> list[Script]:
    """16 requests, 8 at once."""
    prefix = vocabulary.words(800, generator)
    prompts = [prefix + vocabulary.words(20, generator) for _ in range(8 * max(1, scale(2)))]
    return [Script(bodies=[body(prompt, 16) for prompt in prompts[client::8]]) for client in range(8)]


def _conversations(generator: random.Random, _scale: Scale) -> list[Script]:
    return [
        Script(
            bodies=[chat_body(vocabulary.words(40, generator), 96) for _ in range(4)], is_conversation=True
        )
        for _ in range(8)
    ]


def _newcomers(generator: random.Random, scale: Scale) -> list[Script]:
    """Four streams run; then one prompt of 1,200 tokens after the other arrives."""
    streams = [
        Script(group="streams", bodies=[body(vocabulary.words(30, generator), 80 + 120 * scale(2))])
        for _ in range(4)
    ]
    arrivals = [body(vocabulary.words(1200, generator), 8) for _ in range(scale(3))]
    return [*streams, Script(group="newcomers", waits=True, bodies=arrivals)]


def _faster(ratio: float) -> Target:
    return Target("tokens_per_second", How.RATIO, ratio, at_least=True)


ALL = (
    Workload(
        name="nano-1",
        title="nano, 1 client, greedy",
        model="nano",
        context=2048,
        parallel=16,
        scripts=closed_loop(1, 6, 32, 128),
        raw_decode=(1, 128),
    ),
    Workload(
        name="nano-16",
        title="nano, 16 clients, greedy",
        model="nano",
        context=2048,
        parallel=16,
        scripts=closed_loop(16, 5, 32, 128),
        raw_decode=(16, 128),
        targets=(_faster(2.0), Target("tokens_per_second", How.TO_RAW, 0.8, at_least=True)),
    ),
    Workload(
        name="nano-q8-16",
        title="nano quantized, 16 clients, greedy: overheads alone",
        model="nano-q8",
        context=2048,
        parallel=16,
        scripts=closed_loop(16, 5, 32, 128),
        raw_decode=(16, 128),
        is_quick=False,
    ),
    Workload(
        name="nano-sampled-8",
        title="nano, 8 clients, sampled with penalties",
        model="nano",
        context=2048,
        parallel=16,
        scripts=closed_loop(8, 5, 32, 128, _SAMPLED),
        optional=_PENALTIES,
        raw_decode=(8, 128),
        targets=(_faster(2.5),),
    ),
    Workload(
        name="turns",
        title="nano, 8 conversations of 4 turns",
        model="nano",
        context=2048,
        parallel=16,
        path=CHAT,
        scripts=_conversations,
        targets=(_faster(1.5),),
    ),
    Workload(
        name="0.5b-1",
        title="0.5b, 1 client",
        model="0.5b",
        context=2048,
        parallel=16,
        scripts=closed_loop(1, 4, 64, 128),
        raw_decode=(1, 128),
        targets=(
            _faster(1.0),
            Target("resident_bytes", How.DIFFERENCE, 200 * _MB),
            Target("seconds_to_ready", How.DIFFERENCE, 1.5),
        ),
    ),
    Workload(
        name="0.5b-8",
        title="0.5b, 8 clients, unique prompts",
        model="0.5b",
        context=2048,
        parallel=16,
        scripts=closed_loop(8, 3, 128, 96),
        raw_decode=(8, 96),
        targets=(_faster(1.0),),
    ),
    Workload(
        name="135m-long",
        title="135m, 8 clients, unique prompts of 1,000 tokens, 32 out",
        model="135m",
        context=2048,
        parallel=16,
        scripts=closed_loop(8, 2, 1000, 32),
        raw_prefill=1000,
        targets=(_faster(1.5),),
        is_quick=False,
    ),
    Workload(
        name="prefix",
        title="0.5b, 16 requests, 8 at once, one prefix of 800 tokens, 20 own, 16 out",
        model="0.5b",
        context=2048,
        parallel=16,
        scripts=_shared_prefix,
        raw_prefill=800,
        targets=(_faster(5.0), Target("ttft_p95", How.RATIO, 0.2)),
    ),
    Workload(
        name="newcomers",
        title="0.5b, 4 streams while prompts of 1,200 tokens arrive",
        model="0.5b",
        context=2048,
        parallel=16,
        scripts=_newcomers,
        ttft_group="newcomers",
        gap_group="streams",
        raw_prefill=1200,
        targets=(Target("gap_max", How.VALUE, 0.3), Target("ttft_p50", How.RATIO, 1.5)),
    ),
    Workload(
        name="crowd",
        title="nano, 64 clients on the memory of 16 sequences",
        model="nano",
        context=256,
        parallel=16,
        max_running=64,
        scripts=closed_loop(64, 3, 96, 128),
        targets=(Target("num_errors", How.VALUE, 0), Target("slowest_to_median", How.VALUE, 3.0)),
        is_quick=False,
    ),
)

BY_NAME = {workload.name: workload for workload in ALL}
