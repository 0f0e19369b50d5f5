"""Where a request that reached no route was probably meant to go."""

from collections.abc import Iterable, Sequence

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Route

from caravan.api.validation.near_names import nearest

MAP = "The API is under /v1; /docs lists the routes."
_API = "/v1"
# Nobody writes longer ones by mistake.
_LONGEST = 200
_MOST_PARTS = 12
# What other servers call what is here.
_ELSEWHERE = {
    "/v1/moderations": "/v1/decisions",
    "/healthz": "/health",
    "/readyz": "/ready",
}


def all_routes(app: FastAPI, routers: Iterable[APIRouter]) -> list[BaseRoute]:
    """List all routes: those of routers, which the app itself does not list, and the OpenAPI document's."""
    included = (route for router in routers for route in router.routes)
    return [*included, *(route for route in app.router.routes if isinstance(route, Route))]


def shortened(path: str) -> str:
    """Shorten a path for a message."""
    return path if len(path) <= _LONGEST else f"{path[:_LONGEST]}..."


def methods_at(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """List the methods of all routes of a path; none where there is no route."""
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def suggested_path(routes: Sequence[BaseRoute], path: str) -> str | None:
    """Find the path that was meant: with `/v1` or without, without a proxy's prefix, or a slip away."""
    if len(path) > _LONGEST:
        return None
    parts = [part for part in path.split("/") if part][-_MOST_PARTS:]
    known = {route.path for route in routes if isinstance(route, Route) and "{" not in route.path}
    clean = _joined(path.split("/"))
    # A slip in the last part leaves a path that is another's end.
    return (
        _served(routes, path, parts)
        or _ELSEWHERE.get(clean)
        or nearest(clean, known)
        or nearest(_API + clean, known)
        or next(filter(None, (_served(routes, path, parts[begin:]) for begin in range(1, len(parts)))), None)
    )


def _served(routes: Sequence[BaseRoute], path: str, parts: Sequence[str]) -> str | None:
    """Find these parts, with `/v1` or without, as another path, which is served."""
    whole = _joined(parts)
    for candidate in (whole, _API + whole, whole.lower(), _API + whole.lower()):
        if candidate != path and methods_at(routes, candidate):
            return candidate
    return None


def _joined(parts: Sequence[str]) -> str:
    return "/" + "/".join(part for part in parts if part)
