"""The OpenAPI document is made once, however many ask for it at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from caravan.web.openapi import describe_bodies
from fastapi import FastAPI

NUM_ASKING = 4


def test_it_is_made_once_for_all_who_ask_at_the_same_time() -> None:
    app = FastAPI()
    num_made, infer = 0, app.openapi
    others = threading.Barrier(NUM_ASKING)

    def slow() -> dict[str, Any]:
        nonlocal num_made
        num_made += 1
        # Whoever may come in meanwhile does.
        threading.Event().wait(0.05)
        return infer()

    app.openapi = slow  # type: ignore[method-assign]
    describe_bodies(app, strict=False)

    def ask(_: int) -> dict[str, Any]:
        others.wait()
        return app.openapi()

    with ThreadPoolExecutor(NUM_ASKING) as threads:
        found = list(threads.map(ask, range(NUM_ASKING)))
    assert num_made == 1
    assert all(document is found[0] for document in found)
