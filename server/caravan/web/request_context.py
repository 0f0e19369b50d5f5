"""Who sends a request and what is counted of it, from the middleware that finds out to the routes."""

from dataclasses import replace

from starlette.types import Scope

from caravan.api.context import RequestContext
from caravan.auth.principal import Principal

_CONTEXT = "caravan.context"


def context_of(scope: Scope) -> RequestContext:
    """The request's context; nobody's, with numbers that nobody reads, outside of all middleware."""
    context = scope.get(_CONTEXT, RequestContext())
    assert isinstance(context, RequestContext)
    return context


def use_context(scope: Scope, context: RequestContext) -> None:
    """Begin with a context."""
    scope[_CONTEXT] = context


def use_principal(scope: Scope, principal: Principal) -> None:
    """Go on as the holder of a key."""
    scope[_CONTEXT] = replace(context_of(scope), principal=principal)
