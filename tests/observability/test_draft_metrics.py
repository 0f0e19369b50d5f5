"""What is counted of drafts, by where they came from."""

from caravan.engine.outputs import EngineStats
from caravan.observability.metrics import EngineReading, Metrics, View


def test_drafts_are_counted_by_model_and_source() -> None:
    stats = EngineStats(num_drafted={"ngram": 7, "prediction": 5}, num_accepted={"ngram": 3})
    metrics = Metrics(lambda: [EngineReading(model="small", stats=stats, num_restarts=0, pid=None)])
    lines = metrics.render("", View())[0].decode().splitlines()
    assert [line for line in lines if line.startswith("caravan_spec_decode")] == [
        'caravan_spec_decode_num_draft_tokens_total{model="small",source="ngram"} 7.0',
        'caravan_spec_decode_num_draft_tokens_total{model="small",source="prediction"} 5.0',
        'caravan_spec_decode_num_accepted_tokens_total{model="small",source="ngram"} 3.0',
    ]
