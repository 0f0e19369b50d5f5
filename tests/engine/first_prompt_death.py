"""An engine process that dies in its first prompt unless kept to plain kernels, as a broken build does."""

import os
import sys

from server.engine import process
from server.engine.config import EngineConfig
from server.engine.sizing import Resources, Sizes, sizes_of
from server.llama.context import Context

_first_prompt = process.run_first_prompt


def _settle_and_note(config: EngineConfig, given: Resources) -> Sizes:
    if config.use_extra_buffers:
        process.run_first_prompt = _die
    return sizes_of(config, given)


def _die(context: Context, batch_size: int) -> None:  # noqa: ARG001
    os.abort()


if __name__ == "__main__":
    process.sizes_of = _settle_and_note  # type: ignore[attr-defined]
    sys.exit(process.main())
