"""How often a seeded request answers differently in company: `python -m tests.bench.determinism`.

The sampler gives the same tokens for the same logits; but kernels may add up a batch of another shape in
another order, and a token that hangs on the last bits then falls the other way. With our build none should.
"""

import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import gguf
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.models import resident

from tests.engine.real_harness import RealHarness
from tests.tiny_model import write_tiny_model

NUM_REQUESTS = 160
NUM_TOKENS = 40
KINDS = {"F32": gguf.GGMLQuantizationType.F32, "Q8_0": gguf.GGMLQuantizationType.Q8_0}
# Cells for all at once, and for so few that sequences are preempted again and again.
ROOMY, TIGHT = 4096, 400


def requests() -> list[GenerationRequest]:
    """Prompts of different lengths, sampled and greedy in turn."""
    rng = random.Random(1)
    return [
        GenerationRequest(
            id=str(number),
            token_ids=tuple(rng.randrange(33, 127) for _ in range(rng.randrange(4, 60))),
            params=SamplingParams(
                temperature=float(number % 2), seed=number, max_tokens=NUM_TOKENS, ignore_eos=True
            ),
        )
        for number in range(NUM_REQUESTS)
    ]


def texts(
    path: Path, num_cells: int, groups: Iterable[list[GenerationRequest]]
) -> tuple[dict[str, str], int]:
    """The text of every request, one group after the other, and how often a sequence was preempted."""
    harness = RealHarness(path, num_cells=num_cells, max_sequences=32, max_running=16)
    for group in groups:
        harness.run(group)
    found = {name: text for (name, _), text in harness.texts().items()}
    num_preemptions = harness.engine.stats().num_preemptions
    harness.close()
    return found, num_preemptions


def lines(name: str, path: Path) -> Iterator[str]:
    """One line of a table for each kind of company."""
    alone, _ = texts(path, ROOMY, ([request] for request in requests()))
    again, _ = texts(path, ROOMY, ([request] for request in requests()))
    company, _ = texts(path, ROOMY, [requests()])
    tight, num_preemptions = texts(path, TIGHT, [requests()])
    for kind, found in (
        ("alone again", again),
        ("16 at once", company),
        (f"16 at once, {num_preemptions} preemptions", tight),
    ):
        for temperature in (0, 1):
            names = [request.id for request in requests() if int(request.id) % 2 == temperature]
            other = sum(found[name] != alone[name] for name in names)
            yield f"| {name} | {kind} | {temperature} | {other} of {len(names)} |"


def table() -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| model | beside alone | temperature | other texts |"
    yield "| --- | --- | --- | --- |"
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ("qwen2", "llama"):
            for kind, quantization in KINDS.items():
                path = Path(folder, f"{architecture}-{kind}.gguf")
                write_tiny_model(path, architecture, quantization=quantization)
                yield from lines(f"random {architecture}, {kind}", path)
    yield from lines("resident, Q8_0", resident.model_path())


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
