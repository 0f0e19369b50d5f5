"""How a request ends that never began."""

from server.engine.outputs import FinishReason, TokenOutput
from server.engine.params import GenerationRequest


def refusal(
    request: GenerationRequest, fault: str | None, reason: FinishReason = FinishReason.ERROR
) -> list[TokenOutput]:
    """The one output of each choice."""
    return [
        TokenOutput(request_id=request.id, index=index, finish_reason=reason, error=fault)
        for index in range(request.n)
    ]
