"""What the operator reads first."""

import pytest

from server.banner import banner
from tests.fakes_web import loaded_model, registry_over


@pytest.mark.parametrize(
    ("host", "is_tls", "base"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:80/v1"),
        ("0.0.0.0", True, "https://127.0.0.1:80/v1"),
        ("::1", False, "http://[::1]:80/v1"),
    ],
)
def test_the_address_is_one_to_call(host: str, base: str, *, is_tls: bool) -> None:
    shown = banner(registry_over(loaded_model()), (host, 80), num_keys=0, is_tls=is_tls)
    assert f"base URL: {base}\n" in shown
    assert f"curl {base}/chat/completions" in shown
    assert "Bearer" not in shown
