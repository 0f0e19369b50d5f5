"""The options of a deployment on Ray: those that are declared are those of the page and of the examples."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from caravan.config.load import ConfigurationError
from caravan.ray_serve.options import RayOptions
from pydantic import ValidationError

ROOT = Path(__file__).parents[2]


def test_the_page_has_every_option() -> None:
    page = (ROOT / "docs/ray.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))
    for name, field in RayOptions.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        assert rows[name] == ("" if default in ({}, None) else shown)
        assert (field.description or "?") in page


def applications() -> list[dict[str, Any]]:
    local = yaml.safe_load((ROOT / "deploy/ray/serve.yaml").read_text(encoding="utf-8"))
    service = yaml.safe_load((ROOT / "deploy/ray/kuberay.yaml").read_text(encoding="utf-8"))
    deployed = yaml.safe_load(service["spec"]["serveConfigV2"])
    return [*local["applications"], *deployed["applications"]]


@pytest.mark.parametrize("application", applications(), ids=lambda application: str(application["args"]))
def test_the_examples_are_sound(application: dict[str, Any]) -> None:
    options = RayOptions.model_validate(application["args"])
    assert options.server_settings() is not None
    assert options.most_replicas >= options.min_replicas


@pytest.mark.parametrize(
    "args",
    [{"replica": 2}, {"min_replicas": 0}, {"min_replicas": 3, "max_replicas": 2}, {"router": "other"}],
    ids=str,
)
def test_wrong_options_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RayOptions.model_validate(args)


@pytest.mark.parametrize("name", ["port", "tls_certificate", "max_loaded", "kv_events"])
def test_options_without_effect_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} has no effect on Ray"):
        RayOptions(settings={name: "1"}).server_settings()


def test_the_time_of_a_body_is_the_web_sides() -> None:
    assert RayOptions(settings={"body_seconds": 5}).server_settings().body_seconds == 5


def test_wrong_options_of_the_server_are_told_by_name() -> None:
    with pytest.raises(ConfigurationError, match="context_sise"):
        RayOptions(settings={"context_sise": 5}).server_settings()


def test_every_suite_is_run() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.search(r"^RAY := (.*)$", makefile, re.MULTILINE)
    assert named is not None
    suites = {path.name.removesuffix("_suite.py") for path in (ROOT / "tests/ray").glob("*_suite.py")}
    assert set(named[1].split()) == suites
