"""How a request ends that never began."""

from caravan.engine.outputs import FinishReason, TokenOutput
from caravan.engine.params import GenerationRequest


def refusal(
    request: GenerationRequest, fault: str | None, reason: FinishReason = FinishReason.ERROR
) -> list[TokenOutput]:
    """The one output of each choice."""
    return [
        TokenOutput(request_id=request.id, index=index, finish_reason=reason, error=fault)
        for index in range(request.n)
    ]
