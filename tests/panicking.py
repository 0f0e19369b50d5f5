"""A real panic: llguidance asserts that no token has as many bytes as this one."""

from typing import Any, NoReturn

from llguidance import LLTokenizer, TokenizerWrapper

TOO_LONG = 1 << 17


class _Vocabulary(TokenizerWrapper):
    is_tokenizer_wrapper = True
    bos_token_id = None
    eos_token_id = 0
    tokens = [b"a" * TOO_LONG, b"b"]  # noqa: RUF012 (llguidance's own protocol)
    special_token_ids: list[int] = []  # noqa: RUF012

    def __init__(self) -> None:
        """Nothing is wrapped."""

    def __call__(self, _text: str) -> Any:  # noqa: ANN401
        return []


def panic() -> NoReturn:
    """Raise what a panic in Rust arrives as."""
    LLTokenizer(_Vocabulary())
    raise AssertionError("llguidance takes such a token; look for another panic")
