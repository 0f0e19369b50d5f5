"""A server whose best decoding parameters are known, and tasks for it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from caravan.config.settings import Settings
from caravan.models import registry_of
from caravan.tune.reading import read_task
from caravan.tune.records import Findings, Record
from caravan.tune.search import find, http_of

from tests.live_server import live_server
from tests.tiny_model import write_steady_model
from tests.tiny_vocab import vocabulary_size

# The model writes "a" or "b", and "a" e^2 times as often, whatever it has read.
ADVANTAGE = 2.0
# At temperature t it writes "a" with the probability 1 / (1 + e^(-2/t)); three times of four at this one.
BEST_TEMPERATURE = ADVANTAGE / np.log(3)


@pytest.fixture(scope="session")
def steady_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("steady") / "steady.gguf"
    logits = np.full(vocabulary_size(), -60.0, np.float32)
    logits[ord("a")], logits[ord("b")] = ADVANTAGE, 0.0
    write_steady_model(path, logits)
    return path


@pytest.fixture(scope="session")
def url(steady_model: Path) -> Iterator[str]:
    settings = Settings(model=steady_model, model_id="steady", context_size=4096, threads=1)
    with live_server(registry_of(settings), settings) as address:
        yield address


class Watched:
    """A search's progress, kept; `after` is called when a trial has ended."""

    def __init__(self, after: Callable[[Record], None] = lambda _: None) -> None:
        self.records: list[Record] = []
        self.num_answered = 0
        self._after = after

    def phase(self, title: str, num_requests: int) -> None: ...

    def note(self, text: str) -> None: ...

    def answered(self) -> None:
        self.num_answered += 1

    def trial(self, record: Record, best: Record | None) -> None:
        assert best is None or best.values
        self.records.append(record)
        self._after(record)


class Study:
    """A task in a folder, and searches for it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "study"
        self.path = folder / "task.toml"
        self._http = http_of(url, None)

    def write(self, text: str) -> None:
        """What the task is from now on."""
        self.path.write_text(text, encoding="utf-8")

    def find(
        self,
        watched: Watched | None = None,
        http: Callable[[], httpx.AsyncClient] | None = None,
        *,
        is_own: bool = False,
    ) -> Findings:
        """Search, or go on."""
        task = read_task(self.path)
        shown = watched or Watched()
        return find(task, self.folder, self.path.parent, http or self._http, shown, is_own=is_own)


@pytest.fixture
def study(tmp_path: Path, url: str) -> Study:
    return Study(tmp_path, url)


@pytest.fixture
def shell() -> dict[str, str]:
    """Variables for a command in a process of its own, which says what it does when it does it."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def likelihood_task(method: str, **more: object) -> str:
    """The best temperature makes "aaab" likeliest, which is computed without any luck."""
    search = "\n".join(f"{name} = {value}" for name, value in more.items())
    return f"""
name = "three-of-four"
route = "text"
prompts = [{{ prompt = "a", references = ["aaab"] }}]
request = {{ top_k = 0, top_p = 1.0, min_p = 0.0 }}

[[objectives]]
scorer = "log_likelihood"

[space]
temperature = {{ low = 0.5, high = 4.5, points = 17 }}

[search]
method = "{method}"
{search}
"""


def share_task(method: str, **more: object) -> str:
    """The same by counting letters of answers, which are luck."""
    search = "\n".join(f"{name} = {value}" for name, value in more.items())
    prompts = ", ".join(f'"{letter}{number}"' for letter in "abc" for number in range(3))
    return f"""
name = "three-of-four"
route = "text"
prompts = [{prompts}]
held_out = 0.34
request = {{ top_k = 0, top_p = 1.0, min_p = 0.0, max_tokens = 40 }}

[[objectives]]
name = "share"
scorer = "function"
function = "share:share"

[space]
temperature = {{ low = 0.5, high = 4.5 }}

[search]
method = "{method}"
repeats = 2
{search}
"""


# Many a's and many b's at once there cannot be: every temperature is on the front, up to the noise.
LETTERS = """
def much_a(text, references):
    return text.count("a") / len(text)

def much_b(text, references):
    return text.count("b") / len(text)
"""


def letters_task(method: str, **more: object) -> str:
    """Wants much of each letter, by the functions of LETTERS."""
    one = '[[objectives]]\nname = "share"\nscorer = "function"\nfunction = "share:share"\n'
    two = one.replace("share:share", "letters:much_a").replace('"share"', '"much a"')
    two += two.replace("much_a", "much_b").replace("much a", "much b")
    return share_task(method, **more).replace(one, two)


SHARE = '''
def share(text, references):
    """1 where three letters of four are a."""
    return 1 - abs(text.count("a") / len(text) - 0.75)
'''
