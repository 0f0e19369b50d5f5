"""Whether llama.cpp cuts text into the same tokens as the trained tokenizer."""

from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from deploy.resident.checks import Score
from deploy.resident.data import a_sample
from deploy.resident.render import render
from deploy.resident.runner import Runner

_PIECES = (
    "Grüße",
    "naïve",
    "日本語",
    "中文字符",
    "한국어",
    "русский",
    "עברית",
    "العربية",
    "हिन्दी",
    "🙂",
    "👩‍👩‍👧‍👦",
    "🇫🇷",
    "e\u0301",
    "ﬁ",
    "²³",
    "½",
    "٣",
    "Ⅳ",
    "don't",
    "I'LL",
    "we've",
    "'s",
    "'S",
    "can't",
    "\t",
    "  ",
    "    ",
    "\n",
    "\n\n",
    "\r\n",
    " \n",
    "\n ",
    "\u00a0",
    "\u3000",
    "\u200b",
    "...",
    "!!!",
    "--",
    "==",
    "//",
    "{}",
    "[]()",
    "<",
    ">",
    "|",
    "<|",
    "|>",
    "12345",
    "3.14",
    "a1b2",
    "_x_",
    "CamelCase",
    "snake_case",
    "https://a.b/c?d=e&f",
    "def f(x):",
    "\\n",
    '"',
    "`",
    "\u0000",
)


def texts(count: int) -> list[str]:
    """Odd pieces in random order, and samples of the corpus with their special tokens."""
    rng = Random(77)
    odd = [
        "".join(rng.choice(_PIECES) + rng.choice(("", "", " ", "x")) for _ in range(rng.randint(1, 15)))
        for _ in range(count)
    ]
    return [*odd, *(render(a_sample(rng)[1]) for _ in range(count))]


def tokenizer_parity(runner: Runner, tokenizer: Path, count: int = 300) -> Score:
    score = Score()
    reference = Tokenizer.from_file(str(tokenizer))
    for text in texts(count):
        score.count(runner.tokenize(text) == reference.encode(text).ids, repr(text))
    return score
