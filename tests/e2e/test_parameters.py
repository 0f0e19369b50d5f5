"""What parameters do, exactly, on both routes, streamed or not."""

from typing import Any

import httpx

from tests.e2e.asking import CHAT, TEXT, Asker
from tests.tiny_vocab import vocabulary_size

# The vocabulary begins with the bytes and ends with what ends a chat.
A, B, C = b"ABC"
END = vocabulary_size() - 1

Fields = dict[str, Any]
MANY: Fields = {"n": 16, "max_tokens": 3}
GREEDY: Fields = {"temperature": 0, "max_tokens": 30}
STOPPING: Fields = {"allowed_token_ids": [A, B, C], "max_tokens": 60, "temperature": 1}


def test_temperature_0_always_takes_the_likeliest(ask: Asker) -> None:
    assert ask(**MANY, temperature=0).num_different == 1
    assert ask(temperature=0, seed=1).text == ask(temperature=0, seed=2).text


def test_xtc_drops_the_likeliest_where_another_is_above_the_threshold(ask: Asker) -> None:
    greedy = ask(**GREEDY).text
    assert ask(**GREEDY, xtc_probability=1, xtc_threshold=0.01).text != greedy
    assert ask(**GREEDY, xtc_probability=1, xtc_threshold=0.5).text == greedy
    assert ask(**GREEDY, xtc_probability=0).text == greedy


def test_samplers_act_in_the_order_of_the_request(ask: Asker) -> None:
    fields: Fields = GREEDY | {"top_k": 2, "xtc_probability": 1, "xtc_threshold": 0, "max_tokens": 4}
    allowed = {"allowed_token_ids": list(b"ABCD"), "logit_bias": {"A": 90, "B": 60, "C": 30}}
    assert set(ask(**fields, **allowed, samplers=["top_k", "xtc"]).text) == {"B"}
    assert set(ask(**fields, **allowed, samplers=["xtc", "top_k"]).text) == {"D"}


def test_mirostat_answers_with_its_state(ask: Asker) -> None:
    for version in (1, 2):
        reply = ask(mirostat=version, mirostat_tau=3, n=2)
        assert reply.stages["mirostat"] == {
            "mirostat": version,
            "mirostat_tau": 3,
            "mirostat_eta": 0.1,
            "seed": 7,
        }
        assert set(reply.mu) == {"0", "1"}
        assert all(mu != 6 for mu in reply.mu.values())
        assert reply.texts == ask(mirostat_mode=version, mirostat_tau=3, n=2).texts
    assert ask().mu == {}


def test_under_mirostat_only_what_the_request_sets_truncates(ask: Asker) -> None:
    stages = ask(mirostat=2).stages
    assert list(stages) == ["temperature", "mirostat", "end"]
    stages = ask(mirostat=2, top_k=1, repeat_penalty=1.1, dry_multiplier=1, logit_bias={"5": 1}).stages
    assert list(stages) == ["bias", "penalties", "dry", "top_k", "temperature", "mirostat", "end"]
    assert ask(**MANY, mirostat=2, temperature=2, top_k=1).num_different == 1


def test_adaptive_decay_says_how_long_past_draws_count(ask: Asker) -> None:
    fields: Fields = {"adaptive_target": 0.3, "max_tokens": 40, "ignore_eos": True, "temperature": 1}
    assert ask(**fields, adaptive_decay=0).text != ask(**fields, adaptive_decay=0.99).text
    stages = ask(**fields, adaptive_decay=0.5).stages
    assert stages["adaptive_p"] == {"adaptive_target": 0.3, "adaptive_decay": 0.5, "seed": 7}


def test_logit_bias_in_all_its_forms(ask: Asker) -> None:
    for bias in ({str(A): 100}, {"A": 100}, [[A, 100]], [["A", 100.0]]):
        assert ask(logit_bias=bias).text == "A" * 8
    digits = ask(logit_bias=[["6", 100]]).text
    assert digits == "6" * 8, "in a list, a string is text"
    only = {"allowed_token_ids": [A, B]}
    for ban in ({str(A): False}, {"A": False}, [[A, False]], [["A", False]], {str(A): -100}):
        assert ask(**only, logit_bias=ban).text == "B" * 8
    assert set(ask(logit_bias={"AB": 100}, n=8).texts[0]) <= {"A", "B"}
    assert ask(logit_bias={"A": 60, str(A): 40, "B": 60}).text == "A" * 8, "biases of a token add up"


def test_allowed_tokens_are_the_only_ones(ask: Asker) -> None:
    reply = ask(allowed_token_ids=[A, C, A], max_tokens=40, n=4, temperature=2)
    assert set("".join(reply.texts)) == {"A", "C"}


def test_bad_words_are_not_completed(ask: Asker) -> None:
    fields: Fields = {"allowed_token_ids": [A, B, C], "max_tokens": 200, "temperature": 2}
    text = ask(**fields).text
    words = [text[20:23], text[40:44]]
    changed = ask(**fields, bad_words=words).text
    assert not any(word in changed for word in words)
    assert changed[:2] == text[:2]
    assert ask(**fields, bad_words=["A", "B"]).text == "C" * 200


def test_the_end_tokens_end_unless_they_are_ignored_or_too_early(ask: Asker) -> None:
    ending = {"logit_bias": {str(END): 100}}
    reply = ask(**ending)
    assert (reply.text, reply.reasons, reply.num_tokens) == ("", ["stop"], 1)
    reply = ask(**ending, ignore_eos=True)
    assert (reply.reasons, reply.num_tokens) == (["length"], 8)
    reply = ask(**ending, min_tokens=5)
    assert (reply.reasons, reply.num_tokens) == (["stop"], 6)


def test_stop_tokens_end_and_stay_out(ask: Asker) -> None:
    reply = ask(logit_bias={"A": 100}, stop_token_ids=[A])
    assert (reply.text, reply.reasons) == ("", ["stop"])
    reply = ask(logit_bias={"A": 100}, stop_token_ids=[A], min_tokens=3)
    assert (len(reply.text), reply.reasons) >= (3, ["stop"])
    assert "A" not in reply.text


def test_stop_strings_end_at_the_occurrence_that_the_limit_names(ask: Asker) -> None:
    full = ask(**STOPPING).text
    ends = [i + 1 for i in range(len(full)) if full[i] == "B"]
    for limit in (1, 2, 3):
        kept = ask(**STOPPING, stop="B", stop_limit=limit)
        assert kept.text == full[: ends[limit - 1] - 1]
        assert kept.reasons == ["stop"]
        with_stop = ask(**STOPPING, stop=["B"], stop_limit=limit, include_stop_str_in_output=True)
        assert with_stop.text == full[: ends[limit - 1]]
    assert ask(**STOPPING, stop="B").text == full[: ends[0] - 1]
    assert ask(**STOPPING, stop="B", stop_limit=1000).text == full


def test_stop_strings_are_matched_across_tokens(ask: Asker) -> None:
    full = ask(**STOPPING).text
    stops = ["CB" + "A" * 9, full[20:25]]
    assert ask(**STOPPING, stop=stops).text == full[: full.index(full[20:25])]
    reply = ask(**STOPPING, stop=full[20:25], min_tokens=40)
    assert len(reply.text) >= 25


def test_max_time_ends_with_length(ask: Asker) -> None:
    reply = ask(max_tokens=400, ignore_eos=True, max_time=0.02)
    assert reply.num_tokens < 400
    assert reply.reasons == ["length"]


def test_time_for_a_prediction_ends_it_at_a_new_line(ask: Asker) -> None:
    endless = {"max_tokens": 300, "ignore_eos": True, "top_k": 1}
    cut = ask(**endless, t_max_predict_ms=1, logit_bias=[["\n", 100]])
    assert 0 < cut.num_tokens < 300
    assert (cut.text[-1], cut.reasons) == ("\n", ["length"])
    for milliseconds in (-1, 0, 1):
        banned = [["\n", False]] if milliseconds == 1 else [["\n", 100]]
        assert ask(**endless, t_max_predict_ms=milliseconds, logit_bias=banned).num_tokens == 300


def test_a_line_that_is_indented_too_little_ends_the_text(ask: Asker) -> None:
    lines = {"max_tokens": 40, "temperature": 0, "grammar": 'root ::= "a\\n  b\\n cd"'}
    cut = ask(**lines, n_indent=2)
    assert (cut.text, cut.reasons) == ("a\n  b\n ", ["length"])
    assert ask(**lines, n_indent=1).text == ask(**lines).text == "a\n  b\n cd"


def test_the_temperature_may_come_first(ask: Asker) -> None:
    plain = {"max_tokens": 20, "seed": 1, "top_k": 0, "min_p": 0, "top_p": 0.3, "temperature": 100}
    last = ask(**plain, samplers=["top_p", "temperature"]).text
    assert last == ask(**plain, samplers=["top_p"]).text
    assert last != ask(**plain, samplers=["temperature", "top_p"]).text


def test_a_nucleus_of_nothing_is_the_likeliest_token(ask: Asker) -> None:
    greedy = ask(max_tokens=20, temperature=0).text
    for off in (
        {"top_p": 0},
        {"typical_p": 1, "top_p": 0, "temperature": 5},
        {"top_k": 1, "temperature": 100},
    ):
        assert ask(max_tokens=20, **off).text == greedy


def test_no_limit_goes_to_the_end_of_the_context(ask: Asker) -> None:
    reply = ask(max_tokens=-1, ignore_eos=True)
    assert reply.reasons == ["length"]
    assert reply.num_tokens > 16


def test_values_of_others_that_change_nothing(ask: Asker) -> None:
    plain = ask(seed=1, max_tokens=20).text
    for same in (
        {"repeat_last_n": 0, "dry_penalty_last_n": 0},
        {"tfs": 1, "tfs_z": 1, "top_a": 0, "typ_p": 1},
        {"xtc_probability": 1, "xtc_threshold": 0.6},
        {"samplers": "edskypmxt"},
        {"stop": [], "t_max_predict_ms": 0, "n_cmpl": 1},
        {"adaptive_target": -1, "mirostat": 0, "mirostat_tau": 3},
    ):
        assert ask(seed=1, max_tokens=20, **same).text == plain, same


def test_seeds(ask: Asker) -> None:
    assert ask(seed=0).text == ask(seed=0).text
    assert ask(seed=0).text != ask(seed=1).text
    for random in (None, -1):
        assert len({ask(seed=random, temperature=2).text for _ in range(3)}) > 1


def test_presets_are_overridden_by_single_values(ask: Asker) -> None:
    assert ask(preset="precise").stages["temperature"] == {"temperature": 0.2}
    stages = ask(preset="precise", temperature=1, top_k=5).stages
    assert stages["temperature"] == {"temperature": 1}
    assert stages["top_k"]["top_k"] == 5
    assert stages["top_p"]["top_p"] == 0.8


def test_best_of_answers_with_the_likeliest(http: httpx.Client) -> None:
    fields: Fields = {
        "allowed_token_ids": [A, B],
        "logit_bias": {"A": 20},
        "temperature": 2,
        "max_tokens": 20,
    }
    for route in (CHAT, TEXT):
        ask = Asker(http, route, stream=False)
        drawn = ask(**fields, n=12)
        best = ask(**fields, n=3, best_of=12)
        assert len(best.texts) == 3
        assert set(best.texts) <= set(drawn.texts)
        assert best.num_tokens == drawn.num_tokens == 240, "what was drawn is counted, answered with or not"
        counts = [text.count("A") for text in best.texts]
        assert counts[0] == max(text.count("A") for text in drawn.texts)
        assert ask(**fields, best_of=12).texts == best.texts[:1]
        assert set(ask(best_of=5, n=2, mirostat=2).mu) == {"0", "1"}


def test_the_chain_is_shown_in_order_and_only_when_asked_for(ask: Asker) -> None:
    assert list(ask().stages) == ["top_k", "top_p", "min_p", "temperature", "draw", "end"]
    assert ask(debug=None).stages == ask(debug={}).stages == ask(debug={"decoding": False}).stages == {}
    reply = ask(debug={"decoding": True, "decodings": True})
    assert (reply.status, reply.error["param"]) == (400, "debug.decodings")
