"""How many tokens the prompts and the choices of one request have, as its outputs tell them."""

from collections.abc import Sequence

from caravan_schemas.common import CompletionTokensDetails, PromptTokensDetails, Usage

from caravan.engine.outputs import TokenOutput


class TokenCounts:
    """Counts by choice; each prompt has `choices_per_prompt` of them, one after the other."""

    def __init__(self, prompt_lengths: Sequence[int], choices_per_prompt: int) -> None:
        self.num_prompt_tokens = sum(prompt_lengths)
        self.num_choices = len(prompt_lengths) * choices_per_prompt
        self._choices_per_prompt = choices_per_prompt
        self._completion = [0] * self.num_choices
        self._cached = [0] * self.num_choices
        self._reasoning = [0] * self.num_choices

    def add(self, output: TokenOutput) -> None:
        """Take an output's numbers, which are those of its choice so far."""
        self._completion[output.index] = output.num_completion_tokens
        self._cached[output.index] = output.num_cached_tokens
        self._reasoning[output.index] = output.num_reasoning_tokens

    @property
    def num_tokens(self) -> int:
        """All tokens of prompts and answers so far."""
        return self.num_prompt_tokens + sum(self._completion)

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of prompts that were cached; the first choice of each prompt speaks for it."""
        return sum(self._cached[:: self._choices_per_prompt])

    def usage(self) -> Usage:
        """Write the counts in OpenAI's words."""
        return Usage(
            prompt_tokens=self.num_prompt_tokens,
            completion_tokens=sum(self._completion),
            total_tokens=self.num_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=self.num_cached_tokens, audio_tokens=0),
            completion_tokens_details=CompletionTokensDetails(
                reasoning_tokens=sum(self._reasoning),
                audio_tokens=0,
                accepted_prediction_tokens=0,
                rejected_prediction_tokens=0,
            ),
        )
