"""Prints which shapes of conversations the real templates take: `python -m tests.real.matrix`."""

import sys
from collections.abc import Sequence

from caravan.errors import InvalidRequestError

from tests.real import template_models
from tests.real.shape_writer import AnswerFormat, missing
from tests.real.shapes import PLAIN_SHAPES, SHAPES


def outcome(name: str, shape: AnswerFormat) -> str:
    """`yes`, or what is wrong: `refused` by name, or `lost` where something is not shown."""
    try:
        prompt = template_models.prompt(name, shape.request)
    except InvalidRequestError:
        return "refused"
    return "lost" if missing(shape, prompt) else "yes"


def table(shapes: Sequence[AnswerFormat]) -> str:
    """The matrix as text, a template a line, and how many take all."""
    names = template_models.names()
    width = max(map(len, names))
    lines = [" " * width + "  " + "  ".join(shape.name for shape in shapes)]
    num_whole = 0
    for name in names:
        outcomes = [outcome(name, shape) for shape in shapes]
        num_whole += set(outcomes) == {"yes"}
        cells = (found.ljust(len(shape.name)) for found, shape in zip(outcomes, shapes, strict=True))
        lines.append(f"{name.ljust(width)}  {'  '.join(cells)}".rstrip())
    lines.append(f"{num_whole} of {len(names)} take all {len(shapes)} shapes")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(SHAPES if "--all" in sys.argv else PLAIN_SHAPES))
