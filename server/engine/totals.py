"""What an engine has done since its start."""

from dataclasses import dataclass


@dataclass
class Totals:
    """Tokens of prompts, those of them found in memory, tokens of answers; steps with work in them."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    steps: int = 0
