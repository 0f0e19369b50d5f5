"""An engine process that dies in its first prompt unless kept to plain kernels, as a broken build does."""

import os
import sys

from caravan.config.engine_config import EngineConfig
from caravan.engine import worker
from caravan.llama.context import Context
from caravan.sizing.sizes import Resources, Sizes, sizes_of

_first_prompt = worker.run_first_prompt


def _settle_and_note(config: EngineConfig, given: Resources) -> Sizes:
    if config.use_extra_buffers:
        worker.run_first_prompt = _die
    return sizes_of(config, given)


def _die(context: Context, batch_size: int) -> None:  # noqa: ARG001
    os.abort()


if __name__ == "__main__":
    worker.sizes_of = _settle_and_note  # type: ignore[attr-defined]
    sys.exit(worker.main())
