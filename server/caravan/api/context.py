"""Who asks, and where it is counted what they get: an argument of whatever serves a request."""

from dataclasses import dataclass, field

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.observability.request_metrics import RequestMetrics


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """The holder of the request's key, and the request's own numbers."""

    principal: Principal = ANONYMOUS
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
