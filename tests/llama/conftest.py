"""Contexts without anything of ours in between."""

from collections.abc import Iterator

import pytest

from tests.conftest import TinyModels
from tests.llama.native import NativeContext, Opener


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
