"""The workloads: what is sent, to which model, and what our server has to reach with it.

Everything is drawn from the workload's seed, so all servers of a repeat get the same requests, and no two
repeats do.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.bench.models import RANKER
from tests.bench.plan import Body, Script
from tests.bench.scripts import (
    PENALTIES,
    RECORDS,
    SAMPLED,
    Scale,
    chats,
    closed_loop,
    conversations,
    decisions,
    newcomers,
    reranks,
    shared_prefix,
)
from tests.bench.servers import OURS
from tests.bench.targets import How, Target

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"

_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`parallel` sequences of `context` tokens are what every server has memory for.

    `optional` fields are sent where a server takes them. `peer_path` and `peer_scripts` are for servers that
    do the same another way; `ranks` has them serve a model that only ranks. `is_known` has all of it sent to
    a server before, which is ended then. `variant_of` names the workload that is the same without what is
    measured here; it runs before. The groups say whose times to the first
    token and whose gaps are measured; None is all.
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
    variant_of: str | None = None
    targets: tuple[Target, ...] = ()
    is_quick: bool = True
    peer_path: str | None = None
    peer_scripts: Callable[[random.Random, Scale], list[Script]] | None = None
    ranks: bool = False
    is_known: bool = False

    def on(self, server: str) -> "Workload":
        """The workload as this server is asked."""
        if server == OURS:
            return self
        scripts = self.peer_scripts or self.scripts
        return replace(self, path=self.peer_path or self.path, scripts=scripts)


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
        scripts=closed_loop(8, 5, 32, 128, SAMPLED),
        optional=PENALTIES,
        raw_decode=(8, 128),
        targets=(_faster(2.5),),
    ),
    Workload(
        name="free-8",
        title="nano, 8 clients, free text",
        model="nano",
        context=2048,
        parallel=16,
        path=CHAT,
        scripts=chats(8, 2, 128, {}),
    ),
    Workload(
        name="schema-8",
        title="nano, 8 clients, JSON schema",
        model="nano",
        context=2048,
        parallel=16,
        path=CHAT,
        scripts=chats(8, 2, 128, RECORDS),
        variant_of="free-8",
        targets=(_faster(15.0), Target("tokens_per_second", How.TO_PLAIN, 0.9, at_least=True)),
    ),
    Workload(
        name="free-1",
        title="nano, 1 client, free text, 8 out",
        model="nano",
        context=2048,
        parallel=16,
        path=CHAT,
        scripts=chats(1, 32, 8, {}),
        is_quick=False,
    ),
    Workload(
        name="schema-1",
        title="nano, 1 client, JSON schema, 8 out",
        model="nano",
        context=2048,
        parallel=16,
        path=CHAT,
        scripts=chats(1, 32, 8, RECORDS),
        variant_of="free-1",
        targets=(Target("ttft_p50", How.OVER_PLAIN, 0.005),),
        is_quick=False,
    ),
    Workload(
        name="turns",
        title="nano, 8 conversations of 4 turns",
        model="nano",
        context=2048,
        parallel=16,
        path=CHAT,
        scripts=conversations,
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
        scripts=shared_prefix,
        raw_prefill=800,
        targets=(_faster(5.0), Target("ttft_p95", How.RATIO, 0.2)),
    ),
    Workload(
        name="unknown",
        title="0.5b, 1 client, prompts of 2,000 tokens, 16 out",
        model="0.5b",
        context=4096,
        parallel=4,
        scripts=closed_loop(1, 4, 2000, 16),
        raw_prefill=2000,
        is_quick=False,
    ),
    Workload(
        name="known",
        title="0.5b, the same after a restart, all prompts known before",
        model="0.5b",
        context=4096,
        parallel=4,
        scripts=closed_loop(1, 4, 2000, 16),
        variant_of="unknown",
        targets=(Target("ttft_p50", How.TO_PLAIN, 0.2),),
        is_known=True,
        is_quick=False,
    ),
    Workload(
        name="newcomers",
        title="0.5b, 4 streams while prompts of 1,200 tokens arrive",
        model="0.5b",
        context=2048,
        parallel=16,
        scripts=newcomers,
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
    Workload(
        name="rerank",
        title="cross-encoder, 2 clients, 64 documents of 100 tokens (documents/s)",
        model=RANKER,
        context=512,
        parallel=16,
        path="/v1/rerank",
        scripts=reranks(2, 6, 64),
        targets=(_faster(1.0),),
        ranks=True,
        is_quick=False,
    ),
    Workload(
        name="decisions",
        title="135m, 2 clients, 8 predicates about 400 tokens (answers/s; llama-server's as JSON)",
        model="135m",
        context=2048,
        parallel=16,
        path="/v1/decisions",
        scripts=decisions(2, 2, 8),
        peer_path=CHAT,
        peer_scripts=decisions(2, 2, 8, as_json=True),
        targets=(_faster(2.0),),
        is_quick=False,
    ),
)

BY_NAME = {workload.name: workload for workload in ALL}
