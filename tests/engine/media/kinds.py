"""Kinds of contexts over which prompts with images are tried, and what a request yields by itself."""

from collections.abc import Callable

from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, Key
from tests.engine.media.images import Image

Open = Callable[..., Harness]
Draw = Callable[..., Image]

# Whose cells can be cut; where an image is computed at once; with M-RoPE; with a state; with sliding windows.
KINDS = ["causal", "whole", "positions", "state", "windows"]


def alone(opened: Open, requests: list[GenerationRequest]) -> dict[Key, str]:
    texts: dict[Key, str] = {}
    for item in requests:
        texts |= opened().run([item])
    return texts
