"""The page about decoding parameters says what the schema says."""

from caravan_schemas.parameters import parameters
from caravan_schemas.sampling import SamplingFields

from deploy.parameters_page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m deploy.parameters_page"


def test_the_page_names_every_parameter_and_alias_in_a_row() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    for name, parameter in parameters(SamplingFields).items():
        assert any(all(f"`{n}`" in row for n in (name, *parameter.aliases)) for row in rows)


def test_every_field_that_is_no_parameter_is_about_the_answer() -> None:
    known = parameters(SamplingFields)
    names = set(known) | {alias for parameter in known.values() for alias in parameter.aliases}
    assert set(SamplingFields.model_fields) - names == {
        "stream",
        "stream_options",
        "user",
        "priority",
        "debug",
        "cache_salt",
        "cache_prompt",
        "speculative",
        "lora",
    }
