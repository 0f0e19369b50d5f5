"""How many prompt tokens fit into one step, learned from the steps themselves."""

_FIRST_GUESS = 64
_SMALLEST = 16
_MEMORY = 0.8


class StepClock:
    """Fits step time = pause of a decode + prompt tokens x cost, with a fading memory of both."""

    def __init__(self, step_seconds: float) -> None:
        self._step_seconds = step_seconds
        self._decode_seconds: float | None = None
        self._prompt_token_seconds: float | None = None

    def observe(self, num_prompt_tokens: int, seconds: float) -> None:
        """Learn from a step that computed so many prompt tokens besides its decodes."""
        if num_prompt_tokens == 0:
            self._decode_seconds = _fade(self._decode_seconds, seconds)
        elif num_prompt_tokens >= _SMALLEST:
            rest = max(0.0, seconds - (self._decode_seconds or 0.0))
            self._prompt_token_seconds = _fade(self._prompt_token_seconds, rest / num_prompt_tokens)

    def prompt_budget(self) -> int:
        """Prompt tokens that keep a step within its time; never so few that prompts stand still."""
        if not self._prompt_token_seconds:
            return _FIRST_GUESS
        left = self._step_seconds - (self._decode_seconds or 0.0)
        return max(_SMALLEST, int(left / self._prompt_token_seconds))


def _fade(old: float | None, new: float) -> float:
    return new if old is None else _MEMORY * old + (1 - _MEMORY) * new
