"""Which model a request means that may leave its name out."""

from server.errors import InvalidRequestError
from server.registry import ModelRegistry


def chosen(registry: ModelRegistry, name: str | None) -> str:
    """The name of the model; raises InvalidRequestError where none is given and several are served."""
    if name is not None:
        return name
    offers = registry.offers
    if len(offers) != 1:
        raise InvalidRequestError(
            "'model' is required: this server has several.", param="model", code="missing_required_parameter"
        )
    return offers[0].id
