"""The `caravan` command called in this process."""

import pytest
from caravan.cli import main


def call(*words: str, code: int = 0) -> None:
    """Run one command; it has to end with `code`."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert (caught.value.code or 0) == code
