"""How often something comes, as Lark and regular expressions both write it."""


def times(low: int, high: int | None) -> str:
    """What follows an expression that comes `low` to `high` times; None is without limit."""
    match low, high:
        case 1, 1:
            return ""
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
    return f"{{{low},{'' if high is None else high}}}"
