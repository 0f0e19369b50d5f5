"""What fails once is tried again; what fails for good is told, and costs a trial; what is hopeless ends."""

from pathlib import Path

import httpx
import pytest
from caravan.tune.errors import SearchError
from caravan.tune.records import Ending, State
from caravan.tune.report.write import write

from tests.tune.conftest import SHARE, Study, likelihood_task, share_task


class Faulty(httpx.AsyncHTTPTransport):
    """The real way to the server, on which some requests meet a fault first."""

    def __init__(self, faults: list[httpx.Response | httpx.TransportError], after: int = 0) -> None:
        super().__init__()
        self._faults, self._after = faults, after
        self.num_requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.num_requests += 1
        if self._faults and self.num_requests > self._after:
            fault = self._faults.pop(0)
            if isinstance(fault, httpx.TransportError):
                raise fault
            return fault
        return await super().handle_async_request(request)


def test_what_passes_is_tried_again(study: Study, url: str) -> None:
    faults: list[httpx.Response | httpx.TransportError] = [
        httpx.Response(503, headers={"retry-after": "0"}, json={"error": {"message": "it loads"}}),
        httpx.ReadError("cut"),
        httpx.Response(429, headers={"retry-after": "0.01"}, text="slowly"),
    ]
    transport = Faulty(faults, after=3)
    study.write(likelihood_task("random", trials=2))
    findings = study.find(http=lambda: httpx.AsyncClient(base_url=url, transport=transport))
    assert [record.state for record in findings.records] == [State.COMPLETE] * 2
    # Tokens of the prompt and of the reference, and a row for each token: the defaults' and two trials'.
    assert findings.num_requests == 3 * 6
    # And the list of models, besides the three that failed.
    assert transport.num_requests == 3 * 6 + 1 + 3


def test_a_refused_trial_is_told_and_the_search_goes_on(study: Study) -> None:
    study.write(likelihood_task("grid").replace("[space]", "[space]\nmirostat = { choices = [0, 2] }"))
    task = study.path.read_text().replace("points = 17", "points = 2")
    study.write(task)
    findings = study.find()
    assert findings.ending is Ending.DONE
    assert sorted((record.parameters["mirostat"], record.state.name) for record in findings.records) == [
        (0, "COMPLETE"),
        (0, "COMPLETE"),
        (2, "FAILED"),
        (2, "FAILED"),
    ]
    failed = [record for record in findings.records if record.state is State.FAILED]
    assert all("answered 400" in record.message and "mirostat" in record.message for record in failed)
    write(findings, study.folder)
    page = (study.folder / "report.md").read_text()
    assert "## Failed" in page
    assert "go together" in page


def test_a_function_that_raises_fails_its_trial(study: Study) -> None:
    (study.path.parent / "raising.py").write_text("def share(text, _):\n    return 1 / text.count('c')\n")
    study.write(share_task("random", trials=2).replace("share:share", "raising:share"))
    with pytest.raises(SearchError, match=r"raising:share raised ZeroDivisionError"):
        study.find()


def test_failures_without_end_end_the_search_and_keep_it(study: Study, url: str) -> None:
    (study.path.parent / "share.py").write_text(SHARE)
    study.write(
        share_task("random", trials=50).replace("[space]", "[space]\nxtc_threshold = { choices = [0.1] }")
    )
    refused: list[httpx.Response | httpx.TransportError] = [
        httpx.Response(400, json={"error": {"message": "never"}}) for _ in range(500)
    ]
    # The models and the defaults come through, and one trial.
    transport = Faulty(refused, after=1 + 12 + 12)
    findings = study.find(http=lambda: httpx.AsyncClient(base_url=url, transport=transport))
    assert findings.ending is Ending.FAILED
    assert (
        "5 trials in a row have failed, the last one so: the server answered 400: never" in findings.message
    )
    assert [record.state for record in findings.records] == [State.COMPLETE, *[State.FAILED] * 5]
    assert findings.winner is not None


def test_another_model_is_not_taken_for_the_one_that_was_named(study: Study, url: str) -> None:
    named = likelihood_task("random", trials=1).replace('route = "text"', 'route = "text"\nmodel = "stedy"')
    study.write(named)
    with pytest.raises(SearchError, match="the server has no model 'stedy'; it has steady"):
        study.find()
    # A server that was started for the task has what it was started with, by whatever name.
    assert study.find(is_own=True).model == "steady"
    study.write(likelihood_task("random", trials=1))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"data": []}))
    with pytest.raises(SearchError, match="the server has no model; it has none"):
        study.find(http=lambda: httpx.AsyncClient(base_url=url, transport=transport))


@pytest.mark.parametrize("document", [{}, {"choices": []}, {"choices": [{"text": "a"}]}, []], ids=str)
def test_an_answer_of_another_kind_ends_the_search_in_one_line(
    study: Study, url: str, document: object
) -> None:
    (study.path.parent / "share.py").write_text(SHARE)
    study.write(share_task("random", trials=2))
    transport = Faulty([httpx.Response(200, json=document)], after=1)
    with pytest.raises(SearchError, match="has no text, or does not count its tokens"):
        study.find(http=lambda: httpx.AsyncClient(base_url=url, transport=transport))


def test_a_server_that_is_none_is_one_line(study: Study, tmp_path: Path) -> None:
    study.write(likelihood_task("random"))
    transport = httpx.MockTransport(lambda _: httpx.Response(401, json={"error": {"message": "no key"}}))
    with pytest.raises(SearchError, match="answered 401: no key"):
        study.find(http=lambda: httpx.AsyncClient(base_url="http://nowhere", transport=transport))
    assert not (tmp_path / "study" / "study.db").exists()
