"""Arguments of earlier calls that nobody should make objects of."""

import json

from caravan.chat.past_arguments import past_arguments
from caravan.runtime.json_size import MAX_CONTAINERS


def test_arguments_with_too_much_in_them_are_shown_as_a_text() -> None:
    much = json.dumps({"a": [[]] * (MAX_CONTAINERS + 1)})
    assert past_arguments(much) == {"input": much}
    text = json.dumps({"a": "[" * (MAX_CONTAINERS + 1)})
    assert past_arguments(text) == json.loads(text)
