"""A corpus of hostile constraints against the real compiler: each is refused, or taken, in time."""

import asyncio
import contextlib
import time

from schemas.structured import ConstraintFields
from server.errors import InvalidRequestError
from server.llama.model import Model
from server.resident import model_path
from server.service.constraints.compiler import ConstraintCompiler
from tests.service.hostile_constraints import ALL

# The limit on compiling is five seconds; a busy machine adds to it.
LIMIT_SECONDS = 20


def test_hostile_constraints_are_refused_or_bounded() -> None:
    model = Model(model_path(), vocab_only=True)

    async def run() -> int:
        compiler = ConstraintCompiler()
        num_taken = 0
        for fields in ALL:
            request = ConstraintFields.model_validate(fields)
            begun = time.monotonic()
            with contextlib.suppress(InvalidRequestError):
                num_taken += await compiler.compile(request, model.vocab) is not None
            assert time.monotonic() - begun < LIMIT_SECONDS, str(fields)[:200]
        return num_taken

    assert len(ALL) > 200
    num_taken = asyncio.run(run())
    assert 0 < num_taken < len(ALL)
    model.close()
