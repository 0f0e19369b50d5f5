"""Names of models on the hub, and which of several is meant."""

import pytest
from caravan.models.hub.names import Reference, choose, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("org/name", Reference("org/name")),
        ("org/name-1.5-GGUF:Q4_K_M", Reference("org/name-1.5-GGUF", "Q4_K_M")),
        ("https://huggingface.co/org/name", Reference("org/name")),
        ("hf.co/org/name:q8_0", Reference("org/name", "q8_0")),
    ],
)
def test_references(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text", ["", "name", "/name", "a/b/c", "org/", "org/name:", "../name", "org/..", "a b/c", "org/name:a:b"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is not org/repository"):
        parse_reference(text)


FILES = [
    "README.md",
    "mmproj-model-f16.gguf",
    "model-imatrix.gguf",
    "model-Q2_K.gguf",
    "model-Q4_K_M-00001-of-00002.gguf",
    "model-Q4_K_M-00002-of-00002.gguf",
    "model-q8_0.gguf",
    "BF16/model-BF16-00001-of-00002.gguf",
    "BF16/model-BF16-00002-of-00002.gguf",
]


def test_a_default_is_chosen_by_preference_and_all_parts_belong_to_it() -> None:
    assert choose(FILES, None) == FILES[4:6]
    assert choose([name for name in FILES if "Q4" not in name], None) == ["model-q8_0.gguf"]
    assert choose(FILES[:4] + FILES[7:], None) == FILES[7:]
    assert choose(["unknown.gguf", "other.gguf"], None) == ["other.gguf"]


def test_a_choice_is_a_quantization_or_a_file_in_any_case() -> None:
    assert choose(FILES, "q4_k_m") == FILES[4:6]
    assert choose(FILES, "Q8_0") == choose(FILES, "model-q8_0.gguf") == ["model-q8_0.gguf"]
    assert choose(FILES, "bf16") == choose(FILES, "BF16/model-BF16-00001-of-00002.gguf") == FILES[7:]


def test_a_choice_that_is_not_there_says_what_is() -> None:
    with pytest.raises(LookupError, match="no 'Q3_K_S', but BF16, Q2_K, Q4_K_M, q8_0"):
        choose(FILES, "Q3_K_S")
    with pytest.raises(LookupError, match="no GGUF files"):
        choose(FILES[:3], None)
