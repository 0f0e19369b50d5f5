"""Which model a request means that may leave its name out."""

from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError, ModelNotFoundError
from caravan.models import ModelRegistry, may_use, none_usable


def chosen(registry: ModelRegistry, name: str, principal: Principal) -> str:
    """The name of the model; raises InvalidRequestError where it is empty and several are served, or none."""
    if name:
        return name
    offers = [offer for offer in registry.offers if may_use(offer, principal)]
    if not offers:
        raise ModelNotFoundError(none_usable(principal), param="model")
    if len(offers) != 1:
        raise InvalidRequestError(
            "'model' is required: this server has several.", param="model", code="missing_required_parameter"
        )
    return offers[0].id
