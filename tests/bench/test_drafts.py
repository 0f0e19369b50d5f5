"""What is asked of servers with drafts, and what the table makes of their rates."""

from pathlib import Path
from typing import cast

from tests.bench import drafts, drafts_served
from tests.bench.builds import Peers
from tests.bench.servers import LLAMA_SERVER, Server, Sizes


def test_the_changes_of_a_file_come_early() -> None:
    """Short runs reach them."""
    changed = [case for case in drafts.cases() if case.answer and drafts.CHANGES[0][1] in case.answer]
    assert len(changed) == 2
    for _, new in drafts.CHANGES:
        assert (changed[0].answer or "").index(new) < 500


def test_ratios_are_those_of_a_round() -> None:
    rates = {"off": 100.0, "on": 200.0, "other": 50.0, "its": 75.0}

    def measure(server: str, _case: object, turn: int, _tokens: int) -> float:
        return rates[server] * turn

    servers = cast(list[Server], list(rates))
    rows = list(drafts_served.rows(servers, 3, 10, measure))
    assert [row[0] for row in rows] == [case.name for case in drafts_served.cases()]
    assert rows[0][1:] == ["200", "400", "100", "150", "2.00", "1.50", "2.67"]


def test_a_kind_has_options_of_its_own() -> None:
    peers = Peers(Path("bin"), Path("server.py"), "")
    sizes = Sizes(model=Path("model.gguf"), context=8, parallel=2, threads=1)
    kind = drafts_served.kind(LLAMA_SERVER, "--spec-type", "ngram-mod")
    assert kind.command(peers, sizes, 1, Path())[-2:] == ["--spec-type", "ngram-mod"]
    assert kind.name == "llama-server-spec-type-ngram-mod"
