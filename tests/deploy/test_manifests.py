"""The files for containers and services: valid, and true of this server."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from caravan.config.load import read_configuration
from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes_web import loaded_model, registry_over

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "caravan.json").read_text())
ENVIRONMENT = re.compile(r"\bCARAVAN_[A-Z_]+")


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (item for item in KUBERNETES if item["kind"] == kind)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("item", KUBERNETES, ids=lambda item: f"{item['kind']} {item['metadata']['name']}")
def test_manifests_keep_to_the_schema_of_kubernetes(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, "1.34", strict=True)


def test_a_service_of_this_name_sets_no_variable_of_ours() -> None:
    assert of_kind("StatefulSet")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_the_settings_of_the_config_map_are_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(of_kind("ConfigMap")["data"]["config.toml"])
    settings = read_configuration({"config": str(path)}).settings
    grace = of_kind("StatefulSet")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert settings.shutdown_seconds < grace


@pytest.mark.parametrize("name", ["../Dockerfile", "compose.yaml", "kubernetes.yaml", "caravan.service"])
def test_variables_are_options(name: str) -> None:
    variables = set(ENVIRONMENT.findall((DEPLOY / name).read_text()))
    assert variables
    assert {name.removeprefix("CARAVAN_").lower() for name in variables} <= Settings.model_fields.keys()


def test_probes_and_the_scaler_ask_for_what_there_is() -> None:
    with TestClient(
        create_app(Settings(), registry_over(loaded_model())), base_url="http://localhost"
    ) as client:
        (container,) = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert client.get(container[probe]["httpGet"]["path"]).status_code in (200, 503)
        (metric,) = of_kind("HorizontalPodAutoscaler")["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] in series(client)


def test_queries_of_the_dashboard_ask_for_what_there_is() -> None:
    with TestClient(
        create_app(Settings(), registry_over(loaded_model())), base_url="http://localhost"
    ) as client:
        known = series(client)
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert len(queries) > 20
    for query in queries:
        names = set(re.findall(r"caravan_\w+", query))
        assert names
        assert names <= known, query


def test_compose_mounts_what_is_here() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists()


def test_the_image_takes_what_the_context_lets_in() -> None:
    allowed = [
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()
                assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source


def series(client: TestClient) -> set[str]:
    """Names of all series, those of histograms' parts and those that have not counted yet included."""
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    names = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families}
    return names | {f"{family.name}_bucket" for family in families if family.type == "histogram"}
