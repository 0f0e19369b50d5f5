"""The page about fields says what the schemas and the rules say."""

from caravan.api.validation.unsupported import NEUTRAL_VALUES
from caravan_schemas.parameters import Parameter

from deploy.fields_page import PAGE, ROUTES, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m deploy.fields_page"


def test_the_page_has_every_field() -> None:
    text = page()
    for table in NEUTRAL_VALUES.values():
        assert all(f"| `{name}` |" in text and rule.reason for name, rule in table.items())
    for schema in ROUTES.values():
        for name, field in schema.model_fields.items():
            is_parameter = any(isinstance(constraint, Parameter) for constraint in field.metadata)
            assert is_parameter or f"| `{field.alias or name}` |" in text
