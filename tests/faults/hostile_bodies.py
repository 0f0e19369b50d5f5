"""Bodies of the largest size that is admitted, each of a shape that takes much time or memory of somebody."""

from collections.abc import Callable
from dataclasses import dataclass

from caravan.errors import InvalidRequestError
from caravan.runtime.json_size import checked_size

MAX_BYTES = 4 * 1024 * 1024
_CHAT = "/v1/chat/completions"
_TEXT = "/v1/completions"
_RESPONSES = "/v1/responses"
_CONVERSATIONS = "/v1/conversations"
_EMBEDDINGS = "/v1/embeddings"
_DECISIONS = "/v1/decisions"
_EXPLAIN = "/v1/decoding/explain"
_QUESTION = b'{"type":"predicate","instructions":"x"}'
_USER = b'{"role":"user","content":"Hi"}'

Item = bytes | Callable[[int], bytes]


@dataclass(frozen=True)
class Hostile:
    """Where it goes, and what it is: as many items as there is room for, between a head and a tail."""

    path: str
    head: bytes
    item: Item
    tail: bytes
    joint: bytes = b","
    most: int = MAX_BYTES

    def admitted(self) -> bytes:
        """The largest such body that is not refused for the number of its values."""
        low, high = 1, MAX_BYTES
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if _is_read(self.body(middle)) else (low, middle - 1)
        return self.body(low)

    def body(self, max_items: int = MAX_BYTES) -> bytes:
        """The bytes, with no more than so many items, nor than the routes take anyway."""
        max_items = min(max_items, self.most)
        room = MAX_BYTES - len(self.head) - len(self.tail)
        if isinstance(self.item, bytes):
            count = min(max_items, room // (len(self.item) + len(self.joint)))
            return self.head + self.joint.join([self.item] * count) + self.tail
        items: list[bytes] = []
        while room > 0 and len(items) <= max_items:
            items.append(self.item(len(items)))
            room -= len(items[-1]) + len(self.joint)
        return self.head + self.joint.join(items[:-1]) + self.tail


def _is_read(body: bytes) -> bool:
    try:
        checked_size(body)
    except InvalidRequestError:
        return False
    return True


def _text(
    field: str, item: Item, tail: bytes = b"]}", *, max_tokens: int = 1, most: int = MAX_BYTES
) -> Hostile:
    head = b'{"model":"tiny","max_tokens":%d,%b' % (max_tokens, field.encode())
    return Hostile(_TEXT, head, item, tail, most=most)


def _long_prompts(field: str, *, most: int) -> Hostile:
    return _text(f'{field},"prompt":[', b'"%b"' % (b"a " * 1000), most=most)


def _prompt(item: bytes) -> Hostile:
    """One text of many pieces."""
    return Hostile(_TEXT, b'{"model":"tiny","max_tokens":1,"prompt":"', item, b'"}', b"")


def _chat(fields: bytes, item: Item, tail: bytes) -> Hostile:
    return Hostile(_CHAT, b'{"model":"tiny","max_tokens":1,"messages":[%b' % fields, item, tail)


_TOOL = b'%b],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{'
_ENUM = b'%b],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"enum":[' % _USER
_SHOWN = b'{"model":"tiny","with_pieces":true,"return_token_strs":true,"return_token_bytes":true,"content":"'

SHAPES: dict[str, Hostile] = {
    "prompts of one token": _text('"prompt":[', b"[1]"),
    "prompts of one letter": _text('"prompt":[', b'"x"'),
    "a prompt of short ids": _text('"prompt":[', b"1"),
    "a prompt of ids": _text('"prompt":[', b"259"),
    "a prompt of words": _prompt(b"word "),
    "a prompt of one word": _prompt(b"a"),
    "a prompt of quotes": _prompt(b'\\"'),
    "a prompt of new lines": _prompt(b"\\n"),
    "a prompt of lone halves": _prompt(b"\\ud800"),
    "empty arrays": _text('"prompt":"Hi","x":[', b"[]"),
    "empty objects": _text('"prompt":"Hi","x":[', b"{}"),
    "numbers": _text('"prompt":"Hi","x":[', b"1"),
    "empty texts": _text('"prompt":"Hi","x":[', b'""'),
    "unknown fields": _text('"prompt":"Hi",', lambda n: b'"q%dzz":1' % n, b"}"),
    "slips of one name": _text('"prompt":"Hi",', lambda n: b'"tempratur%d":1' % n, b"}"),
    "stop strings": _text('"prompt":"Hi","stop":[', b'"a"'),
    "biases": _text('"prompt":"Hi","logit_bias":{', lambda n: b'"%d":1' % n, b"}}"),
    "open arrays": Hostile(_TEXT, b"", b"[", b"", b""),
    "quotes": Hostile(_TEXT, b"", b'"', b"", b""),
    "backslashes": Hostile(_TEXT, b"", b"\\", b"", b""),
    "messages": _chat(b"", _USER, b"]}"),
    "messages in turn": _chat(b"", _USER + b',{"role":"assistant","content":"Ho"}', b"]}"),
    "messages without content": _chat(b"", b'{"role":"user"}', b"]}"),
    "messages that are numbers": _chat(b"", b"5", b"]}"),
    "parts of a message": _chat(b'{"role":"user","content":[', b'{"type":"text","text":""}', b"]}]}"),
    "calls of a message": _chat(
        b'{"role":"assistant","tool_calls":[',
        b'{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}',
        b"]}]}",
    ),
    "pieces of a thought": _chat(
        b'{"role":"assistant","content":"x","reasoning_details":[', b'{"text":"a"}', b"]}]}"
    ),
    "tools": _chat(_USER + b'],"tools":[', b'{"type":"function","function":{"name":"f"}}', b"]}"),
    "properties of a tool": _chat(_TOOL % _USER, lambda n: b'"p%d":{"type":"integer"}' % n, b"}}}}]}"),
    "values of a schema": _chat(_ENUM, lambda n: b'"v%d"' % n, b"]}}}}"),
    "decimals of a schema": _chat(_ENUM, lambda n: b"0.%020d1" % n, b"]}}}}"),
    "variables of a template": _chat(_USER + b'],"chat_template_kwargs":{', lambda n: b'"v%d":[]' % n, b"}}"),
    "inputs of one letter": Hostile(_EMBEDDINGS, b'{"model":"tiny","input":[', b'"x"', b"]}"),
    "inputs of two kilobytes": Hostile(
        _EMBEDDINGS, b'{"model":"tiny","input":[', b'"%b"' % (b"ab " * 682), b"]}"
    ),
    "inputs of one word": Hostile(_EMBEDDINGS, b'{"model":"tiny","input":[', b'"and"', b"]}", most=2048),
    "prompts to score": _long_prompts('"prompt_logprobs":20', most=48),
    "prompts to echo": _long_prompts('"echo":true,"logprobs":20', most=48),
    "a prompt to echo in a stream": _long_prompts('"echo":true,"logprobs":20,"stream":true', most=3),
    "texts to tell of": _text('"ignore_eos":true,"logprobs":20,"prompt":[', b'"a"', max_tokens=64, most=128),
    "streams to tell of": _text(
        '"ignore_eos":true,"stream":true,"logprobs":20,"prompt":[', b'"a"', max_tokens=64, most=128
    ),
    "items": Hostile(_RESPONSES, b'{"model":"tiny","max_output_tokens":1,"input":[', _USER, b"]}"),
    "items of parts": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"input":[',
        b'{"role":"user","content":[{"type":"input_text","text":"a"}]}',
        b"]}",
    ),
    "hidden thoughts": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"input":[',
        b'{"type":"reasoning","summary":[{"type":"summary_text","text":"%b"}]}' % (b"x" * 100),
        b",%b]}" % _USER,
    ),
    "conversation": Hostile(_CONVERSATIONS, b'{"items":[', _USER, b"]}"),
    "conversation parts": Hostile(
        _CONVERSATIONS,
        b'{"items":[{"role":"user","content":[',
        b'{"type":"input_text","text":"a"}',
        b"]}]}",
    ),
    "references": Hostile(_RESPONSES, b'{"model":"tiny","input":[', b'{"id":"msg_1"}', b"]}"),
    "a conversation to cut": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"truncation":"auto","input":[',
        b'{"role":"user","content":"%b"}' % (b"a " * 100),
        b"]}",
    ),
    "a conversation of one letters to cut": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"truncation":"auto","input":[',
        b'{"role":"user","content":"a"}',
        b"]}",
    ),
    "a conversation to sum up": Hostile(
        f"{_RESPONSES}/compact",
        b'{"model":"tiny","input":[',
        b'{"role":"user","content":"%b"}' % (b"a " * 100),
        b"]}",
    ),
    "items that bring tools": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"input":[',
        b'{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"f"}]}',
        b",%b]}" % _USER,
    ),
    "namespaces of tools": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"input":"Hi","tools":[',
        lambda n: (
            b'{"type":"namespace","name":"n%d","tools":[%b]}'
            % (n, b",".join(b'{"type":"function","name":"f%d"}' % inner for inner in range(128)))
        ),
        b"]}",
        most=128,
    ),
    "properties of a response's tool": Hostile(
        _RESPONSES,
        b'{"model":"tiny","max_output_tokens":1,"input":"Hi","tools":[{"type":"function","name":"f",'
        b'"parameters":{"type":"object","properties":{',
        lambda n: b'"p%d":{"type":"integer"}' % n,
        b"}}}]}",
    ),
    "questions": Hostile(_DECISIONS, b'{"model":"tiny","input":"Hi","questions":[', _QUESTION, b"]}"),
    "questions that are admitted": Hostile(
        _DECISIONS, b'{"model":"tiny","input":"Hi","questions":[', _QUESTION, b"]}", most=400
    ),
    "choices of a question": Hostile(
        _DECISIONS,
        b'{"model":"tiny","input":"Hi","questions":[{"type":"choice","instructions":"x","choices":[',
        lambda n: b'{"value":"v%d"}' % n,
        b"]}]}",
    ),
    "variants": Hostile(_EXPLAIN, b'{"model":"tiny","prompt":"Hi","variants":[', b'{"top_k":1}', b"]}"),
    "variants that are admitted": Hostile(
        _EXPLAIN,
        b'{"model":"tiny","prompt":"Hi","steps":64,"candidates":25,"ignore_eos":true,"variants":[',
        lambda n: b'{"temperature":%d,"logit_bias":{"65":%d},"repeat_penalty":1.1}' % (n + 1, n),
        b"]}",
        most=8,
    ),
    "biases of variants": Hostile(
        _EXPLAIN,
        b'{"model":"tiny","prompt":"Hi","steps":64,"variants":[{},{"logit_bias":{',
        lambda n: b'"word %d":1' % n,
        b"}}]}",
        most=16_000,
    ),
    "tokens to go on from": Hostile(
        _EXPLAIN, b'{"model":"tiny","prompt":"Hi","seed":1,"steps":1,"continue_from":[', b"97", b"]}"
    ),
    "tokens to go on from that are admitted": Hostile(
        _EXPLAIN,
        b'{"model":"tiny","prompt":"Hi","seed":1,"steps":1,"continue_from":[',
        b"97",
        b"]}",
        most=1024,
    ),
    "documents": Hostile("/v1/rerank", b'{"model":"tiny","query":"x","documents":[', b'"y"', b"]}"),
    "documents of a kilobyte": Hostile(
        "/v1/rerank", b'{"model":"tiny","query":"x","documents":[', b'"%b"' % (b"a " * 512), b"]}", most=128
    ),
    "pairs of texts": Hostile(
        "/v1/score", b'{"model":"tiny","text_1":"x","text_2":[', lambda n: b'"y%d"' % n, b"]}", most=128
    ),
    "blocks of a message": Hostile(
        "/v1/messages",
        b'{"model":"tiny","max_tokens":1,"messages":[{"role":"user","content":[',
        b'{"type":"text","text":""}',
        b"]}]}",
    ),
    "messages of Anthropic's": Hostile(
        "/v1/messages", b'{"model":"tiny","max_tokens":1,"messages":[', _USER, b"]}"
    ),
    "messages of Ollama's": Hostile(
        "/api/chat", b'{"model":"tiny","options":{"num_predict":1},"messages":[', _USER, b"]}"
    ),
    "a text to count": Hostile("/tokenize", b'{"model":"tiny","content":"', b"a b ", b'"}', b""),
    "a text to show": Hostile("/tokenize", _SHOWN, b"a b ", b'"}', b""),
    "tokens to read": Hostile("/detokenize", b'{"model":"tiny","tokens":[', b"100", b"]}"),
    "a conversation to show": Hostile("/apply-template", b'{"model":"tiny","messages":[', _USER, b"]}"),
}
