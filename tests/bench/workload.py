"""What a workload is: what is sent, to which model, and what our server has to reach with it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.bench.plan import Body, Script
from tests.bench.scripts import Scale
from tests.bench.servers import OURS
from tests.bench.targets import How, Target

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"


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


def faster(ratio: float) -> Target:
    """At least so many times as fast as the peer."""
    return Target("tokens_per_second", How.RATIO, ratio, at_least=True)
