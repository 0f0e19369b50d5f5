"""What is counted of prompts that were not computed, by where they were."""

from caravan.engine.outputs import EngineStats
from caravan.observability.metrics import EngineReading, Metrics, View


def test_hits_are_told_by_place_and_the_disk_by_what_it_did() -> None:
    stats = EngineStats(
        num_hits={"cells": 5, "parked": 3, "disk": 2},
        num_offloaded_tokens=9,
        num_disk_bytes=4096,
        num_disk_tokens_written=7,
        num_disk_tokens_read=6,
        num_disk_bad_files=1,
    )
    metrics = Metrics(lambda: [EngineReading(model="small", stats=stats, num_restarts=0, pid=None)])
    lines = metrics.render("", View())[0].decode().splitlines()
    found = [line for line in lines if line.startswith(("caravan_prefix", "caravan_disk", "caravan_host"))]
    assert found == [
        'caravan_host_cache_tokens{model="small"} 9.0',
        'caravan_disk_cache_bytes{model="small"} 4096.0',
        'caravan_disk_cache_written_tokens_total{model="small"} 7.0',
        'caravan_disk_cache_read_tokens_total{model="small"} 6.0',
        'caravan_disk_cache_bad_files_total{model="small"} 1.0',
        'caravan_prefix_cache_hits_total{model="small",place="cells"} 5.0',
        'caravan_prefix_cache_hits_total{model="small",place="disk"} 2.0',
        'caravan_prefix_cache_hits_total{model="small",place="parked"} 3.0',
    ]
