"""A corpus of hostile constraints against the real compiler: each is refused, or taken, in time."""

import asyncio

from schemas.structured import ConstraintFields
from server.errors import InvalidRequestError
from server.llama.model import Model
from server.resident import model_path
from server.service.constraints.compiler import ConstraintCompiler
from tests.service.hostile_constraints import ALL

# Far above the default, so that a busy machine does not make a difference.
LIMIT_SECONDS = 60


def test_hostile_constraints_are_refused_or_bounded() -> None:
    model = Model(model_path(), vocab_only=True)
    refusals: list[str] = []

    async def run() -> int:
        compiler = ConstraintCompiler(seconds=LIMIT_SECONDS)
        num_taken = 0
        for fields in ALL:
            request = ConstraintFields.model_validate(fields)
            try:
                num_taken += await compiler.compile(request, model.vocab) is not None
            except InvalidRequestError as refusal:
                refusals.append(refusal.message)
        return num_taken

    assert len(ALL) > 200
    num_taken = asyncio.run(run())
    assert num_taken > 50
    assert num_taken + len(refusals) == len(ALL)
    assert not [message for message in refusals if "takes longer" in message]
    model.close()
