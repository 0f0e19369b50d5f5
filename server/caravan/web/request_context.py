"""A request's context, from the middleware that opens it to all that serve the request."""

from starlette.types import Scope

from caravan.api.context import RequestContext

_CONTEXT = "caravan.context"


def context_of(scope: Scope) -> RequestContext:
    """Return who sends a request, and its numbers. Outside of the middleware, it is nobody."""
    context = scope.get(_CONTEXT) or RequestContext()
    assert isinstance(context, RequestContext)
    return context


def use_context(scope: Scope, context: RequestContext) -> None:
    """Make this the request's context."""
    scope[_CONTEXT] = context
