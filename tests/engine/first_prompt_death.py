"""An engine process that dies in its first prompt unless kept to plain kernels, as a broken build does."""

import os
import sys

from server.engine import process
from server.engine.config import EngineConfig
from server.llama.context import Context

_resolve = process.resolve
_first_prompt = process.run_first_prompt


def _resolve_and_note(config: EngineConfig, training_context: int) -> EngineConfig:
    if config.use_extra_buffers:
        process.run_first_prompt = _die
    return _resolve(config, training_context)


def _die(context: Context, batch_size: int) -> None:  # noqa: ARG001
    os.abort()


if __name__ == "__main__":
    process.resolve = _resolve_and_note
    sys.exit(process.main())
