"""JSON pointers as schemas use them (RFC 6901, and as fragments of a URI in references)."""

from urllib.parse import unquote


def pointer(path: tuple[str, ...]) -> str:
    """Write a path as a JSON pointer; the whole document is `/`, which reads better than nothing."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path) or "/"


def steps(reference: str) -> tuple[str, ...]:
    """Read the path that a reference of the form `#/...` stands for."""
    written = unquote(reference)[1:].split("/")[1:]
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in written)


def resolve(root: object, reference: str) -> object:
    """Find what a reference of the form `#/...` points to; raises LookupError."""
    target = root
    for name in steps(reference):
        if isinstance(target, list):
            if not name.isdecimal() or len(name) > 6:
                raise LookupError(reference)
            target = target[int(name)]
        elif isinstance(target, dict):
            target = target[name]
        else:
            raise LookupError(reference)
    return target
