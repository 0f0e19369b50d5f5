"""An engine process whose decode computes without an end once a batch has the token 7 in it."""

import sys
from collections.abc import Callable

from caravan.engine import heartbeat, worker
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus

_decode = Context.decode


def _decode_or_spin(self: Context, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
    while batch.num_tokens < 20 and 7 in batch.token_ids[: batch.num_tokens]:
        pass
    return _decode(self, batch, unless)


if __name__ == "__main__":
    Context.decode = _decode_or_spin  # type: ignore[method-assign]
    # A test has no time for what a slow machine is allowed.
    heartbeat._LEAST_SECONDS = 1.0
    sys.exit(worker.main())
