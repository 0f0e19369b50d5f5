"""Lists in the heads of answers: short, and of characters that a header may have."""

from caravan.observability.request_metrics import RequestMetrics
from caravan.web.middleware.access_log import header_list


def test_items_are_header_list_as_they_are() -> None:
    pointer = "tools[0].function.parameters#/$defs/a~1b/pattern"
    assert header_list([pointer, "x"]) == f"{pointer}, x"


def test_what_a_header_may_not_hold_is_encoded() -> None:
    assert header_list(["a,b\r\nx: y", "größe"]) == "a%2Cb%0D%0Ax:%20y, gr%C3%B6%C3%9Fe"


def test_long_lists_are_cut() -> None:
    value = header_list([f"/properties/{number}" for number in range(5_000)])
    assert len(value) < 1_100
    assert value.endswith(" more")
    assert len(header_list(["é" * 5_000])) == 200


def test_each_item_is_told_once() -> None:
    record = RequestMetrics()
    record.note("x-caravan-unenforced", ["a", "b"])
    record.note("x-caravan-unenforced", ["a"])
    assert list(record.notices["x-caravan-unenforced"]) == ["a", "b"]


def test_a_name_that_is_empty_ends_no_head() -> None:
    """A header's value may not end with white space."""
    assert header_list(["a", ""]) == 'a, ""'
