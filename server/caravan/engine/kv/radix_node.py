"""The nodes of a radix tree: runs of tokens, each held by every sequence whose path leads through it."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Node:
    """A run of cells from position `start` on, of `holders`, and how it goes on, by the next token."""

    start: int
    tokens: list[int]
    parent: "Node | None"
    holders: set[int] = field(default_factory=set)
    children: dict[int, list["Node"]] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The position after the run."""
        return self.start + len(self.tokens)

    def attach(self, child: "Node") -> None:
        """Put a node below this one."""
        child.parent = self
        self.children.setdefault(child.tokens[0], []).append(child)

    def detach(self, child: "Node") -> None:
        """Take a node away from below this one."""
        siblings = self.children[child.tokens[0]]
        siblings.remove(child)
        if not siblings:
            del self.children[child.tokens[0]]

    def only_child(self) -> "Node | None":
        """The node below, if it is the only one."""
        nodes = [node for nodes in self.children.values() for node in nodes]
        return nodes[0] if len(nodes) == 1 else None


def path_of(node: Node) -> Iterator[Node]:
    """The node and its ancestors up to the root."""
    current: Node | None = node
    while current is not None:
        yield current
        current = current.parent


def walk(node: Node, token_ids: list[int]) -> Iterator[tuple[Node, int]]:
    """Every node that agrees with a prefix of `token_ids`, with the length up to which it agrees."""
    pending = [node]
    while pending:
        current = pending.pop()
        length = current.start + common_prefix(current.tokens, token_ids, current.start)
        yield current, length
        if length == current.end and length < len(token_ids):
            pending.extend(current.children.get(token_ids[length], ()))


def beyond(node: Node, offset: int, most: int) -> list[int]:
    """What a node holds from there on, and the last child of each node below."""
    found = node.tokens[offset : offset + most]
    while len(found) < most and node.children:
        node = next(reversed(node.children.values()))[-1]
        found += node.tokens[: most - len(found)]
    return found


def split(node: Node, offset: int) -> Node:
    """Cut a node in two and return the upper part; the lower stays the same object, so tails stay right."""
    assert node.parent is not None
    node.parent.detach(node)
    upper = Node(node.start, node.tokens[:offset], node.parent, set(node.holders))
    node.parent.attach(upper)
    node.start += offset
    node.tokens = node.tokens[offset:]
    upper.attach(node)
    return upper


def merge_with_only_child(node: Node) -> None:
    """Join a node with its one child where the same sequences hold both, undoing a split."""
    child = node.only_child()
    if node.parent is None or child is None or child.holders != node.holders:
        return
    parent = node.parent
    parent.detach(node)
    child.tokens = node.tokens + child.tokens
    child.start = node.start
    parent.attach(child)


def common_prefix(left: list[int], right: list[int], right_start: int = 0) -> int:
    """Count the tokens that agree from the start of `left` and from `right_start` in `right`."""
    low, high = 0, min(len(left), len(right) - right_start)
    if left[:high] == right[right_start : right_start + high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[right_start + low : right_start + middle]:
            low = middle
        else:
            high = middle
    return low
