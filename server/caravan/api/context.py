"""Who asks, and where it is counted what they get."""

from dataclasses import dataclass, field

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.observability.request_metrics import RequestMetrics


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """The holder of the request's key, and the request's metrics: an argument of whatever serves it."""

    principal: Principal = ANONYMOUS
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
