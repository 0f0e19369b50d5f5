"""An engine process whose decode never returns once a batch has the token 7 in it."""

import sys
import time
from collections.abc import Callable

from caravan.engine import worker
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus

_decode = Context.decode


def _decode_or_hang(self: Context, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
    while batch.num_tokens < 20 and 7 in batch.token_ids[: batch.num_tokens]:
        time.sleep(1)
    return _decode(self, batch, unless)


if __name__ == "__main__":
    Context.decode = _decode_or_hang  # type: ignore[method-assign]
    sys.exit(worker.main())
