"""Ten thousand requests of all kinds, valid, mutated and torn, with keys; nobody else may notice.

`FUZZ_REQUESTS` is how many (10000), `FUZZ_SEED` which.
"""

import os
import sys
from pathlib import Path

import pytest
from caravan.auth import keys_file

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.fuzzing import fire_many
from tests.faults.process import server_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

_NUM_REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "10000"))
_SEED = int(os.environ.get("FUZZ_SEED", "7"))
# A word for each key, which is in all that it says.
_CANARIES = ("xanthorhea", "quokkaborne", "zymurgist")


def test_ten_thousand_requests_find_no_fault(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    assault(tiny_options, tmp_path, num_requests=_NUM_REQUESTS, seed=_SEED)


def assault(options: tuple[str, ...], place: Path, *, num_requests: int, seed: int) -> None:
    """Every answer is one that a client can read, no key sees another's words, and bystanders see nothing."""
    file = place / "keys.json"
    bystander = keys_file.add(file, name="bystander", weight=8)
    tokens = {canary: keys_file.add(file, name=canary) for canary in _CANARIES[:-1]}
    tokens[_CANARIES[-1]] = keys_file.add(
        file, name="limited", requests_per_minute=600, tokens_per_minute=30_000, concurrent_requests=2
    )
    own = ("--keys-file", str(file), "--data-dir", str(place), "--log-level", "warning")
    with server_process(*options, *own) as server:
        engine = server.engine_pid()
        with bystanders(server.address, MODEL, keys=(bystander,)) as crowd:
            outcomes = fire_many(server.address, MODEL, tokens, num_requests=num_requests, seed=seed)
        print(outcomes.table())
        print(f"{crowd.seen.num_answers} answers of bystanders, longest wait {crowd.seen.longest_wait:.2f} s")
        assert not outcomes.faults, "\n\n".join(outcomes.faults)
        crowd.seen.assert_unharmed()
        assert server.engine_pid() == engine
        assert "Traceback" not in server.output
        assert not server.has_ended
