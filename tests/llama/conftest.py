"""Contexts without anything of ours in between, and ours with options."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.llama.context import Context
from caravan.llama.model import Model

from tests.conftest import TinyModels
from tests.llama.native import NativeContext, Opener
from tests.llama.option_contexts import CELLS, Heads, Opened
from tests.tiny_heads import write_wide_heads


@pytest.fixture
def opened(tiny_models: TinyModels) -> Iterator[Opener]:
    """Opens contexts by architecture; all are closed at the end."""
    contexts: list[NativeContext] = []

    def open_context(architecture: str, **changes: int) -> NativeContext:
        context = NativeContext(tiny_models[architecture], **changes)
        contexts.append(context)
        return context

    yield open_context
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    folder = tmp_path_factory.mktemp("heads")
    paths = {size: folder / f"{size}.gguf" for size in (32, 64)}
    for size, path in paths.items():
        write_wide_heads(path, size)
    write_wide_heads(folder / "experts.gguf", 32, num_experts=4)
    return Heads(paths, folder / "experts.gguf")


@pytest.fixture
def with_options() -> Iterator[Opened]:
    """Opens contexts with options; all are closed at the end."""
    with ExitStack() as stack:

        def make(path: Path, weights: WeightOptions | None = None, **options: Any) -> Context:  # noqa: ANN401
            model = Model(path, weights=weights or WeightOptions())
            stack.callback(model.close)
            context = Context(
                model,
                num_cells=CELLS,
                batch_size=128,
                max_sequences=8,
                num_threads=2,
                options=ContextOptions(**options),
            )
            stack.callback(context.close)
            return context

        yield make
