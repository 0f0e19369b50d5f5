"""Which layout of weights reads prompts fastest here: `python -m tests.bench.prefill MODEL.gguf ...`.

Processor seconds of one thread, the least of some runs, by turns, so that a busy machine does not change them
much. Repacked is llama.cpp's default, where it has such a kernel. As in files, tinyBLAS computes what it
knows; a library without it (`-DGGML_LLAMAFILE=OFF`) is named by LLAMA_CPP_LIB_PATH.
"""

import argparse
import sys
import time
from pathlib import Path

from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model

from tests.bench.report import number, table

_TOKENS = 512
_LAYOUTS = {"repacked": True, "as in the file": False}


class Reader:
    """A model that reads the same prompt again and again, on one thread."""

    def __init__(self, path: Path, *, repacks: bool, num_tokens: int) -> None:
        self._model = Model(path, use_extra_buffers=repacks)
        self._context = Context(
            self._model, num_cells=num_tokens, batch_size=num_tokens, max_sequences=1, num_threads=1
        )
        self._batch = Batch(num_tokens)
        self._batch.add(0, 0, [7 * place % 1000 + 300 for place in range(num_tokens)], wants_logits=False)

    def seconds(self) -> float:
        """Processor seconds of the prompt."""
        self._context.clear()
        began = time.thread_time()
        assert self._context.decode(self._batch) is DecodeStatus.OK
        return time.thread_time() - began

    def close(self) -> None:
        self._context.close()
        self._model.close()


def speeds(path: Path, num_tokens: int, rounds: int) -> list[float]:
    """Tokens a second with each layout."""
    readers = [Reader(path, repacks=repacks, num_tokens=num_tokens) for repacks in _LAYOUTS.values()]
    try:
        taken = [[reader.seconds() for reader in readers] for _ in range(rounds)]
    finally:
        for reader in readers:
            reader.close()
    return [num_tokens / min(column) for column in zip(*taken, strict=True)]


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.prefill", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=_TOKENS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    heads = ("model, tokens/s of one thread", *_LAYOUTS, "ratio")
    print(table(heads, [["---"] * len(heads)]).rpartition("\n")[0])
    for path in options.models:
        found = speeds(path, options.tokens, options.rounds)
        cells = [path.stem, *(number(speed) for speed in found), number(found[0] / found[1])]
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
