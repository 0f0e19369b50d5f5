"""An engine process that hangs while it loads its model."""

import sys
import time

from caravan.engine import worker


def _never(*_: object, **__: object) -> None:
    while True:
        time.sleep(1)


if __name__ == "__main__":
    setattr(worker, "opened_model", _never)  # noqa: B010 (a function, to mypy)
    sys.exit(worker.main())
