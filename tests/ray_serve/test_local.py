"""A file for Ray Serve that cannot be used is told in lines, before anything is started."""

from pathlib import Path

import pytest
from caravan.ray_serve.local import FileError, check, read_file

FAULTS = {
    "applications: [": "while parsing",
    "[1, 2]": "no list of 'applications'",
    "http_options: {port: 1}": "no list of 'applications'",
    "applications: [{name: one, args: {min_replica: 2}}]": "one: args.min_replica: Extra inputs",
    "applications: [{name: one, args: {settings: {context_sise: 2}}}]": "one: args.settings: .*context_sise",
    "applications: [{args: {settings: {port: 2}}}]": "default: args.settings: port has no effect on Ray",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_file_is_told_of_in_a_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=FAULTS[text]):
        check(read_file(path))


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_file(tmp_path / "none.yaml")


def test_without_a_file_the_model_that_ships_is_served() -> None:
    (options,) = check(read_file(None))
    assert options.most_replicas == 1
    assert options.server_settings().model is None
