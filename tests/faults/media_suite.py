"""Streams beside an encoder that works for seconds: their tokens keep coming.

A busy machine makes gaps of its own, so the best of some rounds counts.
"""

import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.heavy_projector import write_heavy_projector
from tests.faults.process import server_process
from tests.faults.test_media import MODEL, ask, said
from tests.media_files import image_file, picture
from tests.tiny_model import EMBED
from tests.tiny_projector import write_tiny_pair

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_MOST_SECONDS = 0.3
_ROUNDS = 4


def test_streams_keep_their_pace_while_the_encoder_works(tmp_path: Path) -> None:
    model, projector = write_tiny_pair(tmp_path, "llava")
    write_heavy_projector(projector, EMBED)
    gaps, seconds = [], []
    with server_process("--model", str(model), "--model-id", MODEL) as server:
        for number in range(_ROUNDS):
            with bystanders(server.address, MODEL, count=3) as crowd:
                began = time.monotonic()
                said(ask(server, image_file(picture(number, 600, 800))))
                seconds.append(time.monotonic() - began)
            crowd.seen.assert_unharmed()
            gaps.append(crowd.seen.longest_gap)
        assert httpx.get(f"{server.address}/ready").status_code == 200
    print("gaps", [round(gap, 3) for gap in gaps], "images", [round(each, 1) for each in seconds])
    assert min(gaps) < _MOST_SECONDS
