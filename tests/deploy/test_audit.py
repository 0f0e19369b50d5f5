"""The audit finds what it is for, and calls nothing passed that was not looked at."""

import functools
import json
from pathlib import Path

import pytest

from deploy.audit import pins
from deploy.audit.advisories import judged as advisories_of
from deploy.audit.licences import is_permitted
from deploy.audit.licences import judged as licences_of
from deploy.audit.outcome import ROOT, Outcome, Verdict
from deploy.audit.run import NOT_CHECKED, audit

HASH = f"--hash=sha256:{'0' * 64}"


def package(**fields: object) -> str:
    return json.dumps({"dependencies": [{"name": "a", "version": "1", **fields}], "fixes": []})


def test_every_pin_has_its_hashes() -> None:
    outcome = pins.agreement()
    assert outcome.verdict is Verdict.PASSED, outcome.details


@pytest.mark.parametrize("path", ["constraints-hashes.txt", "deploy/audit/requirements.txt"])
def test_no_file_of_hashes_says_where_packages_come_from(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "://" not in text
    assert "index" not in text
    assert all(hashes for hashes in pins.pins(ROOT / path).values())


@pytest.mark.parametrize(
    ("hashed", "told"),
    [
        (f"a==1 \\\n    {HASH}\nB_c==2 \\\n    {HASH}\n", None),
        (f"a==1 {HASH}\n", "b-c==2 has no hash"),
        (f"a==1 {HASH}\nb-c==2\n", "b-c==2 has no hash"),
        (f"a==1 {HASH}\nb-c==3 {HASH}\n", "b-c==3 is hashed and not pinned"),
    ],
)
def test_pins_without_hashes_and_hashes_without_pins_are_found(
    tmp_path: Path, hashed: str, told: str | None
) -> None:
    constraints, hashes = tmp_path / "constraints.txt", tmp_path / "hashes.txt"
    constraints.write_text("# a comment\na==1\nb.c==2\n")
    hashes.write_text(hashed)
    outcome = pins.agreement(constraints, hashes)
    assert outcome.verdict is (Verdict.FAILED if told else Verdict.PASSED)
    assert (told or "") in outcome.details


def test_what_is_not_pinned_is_no_constraint(tmp_path: Path) -> None:
    path = tmp_path / "constraints.txt"
    path.write_text("a>=1\n")
    with pytest.raises(ValueError, match="a>=1"):
        pins.pins(path)


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (package(vulns=[]), Verdict.PASSED),
        (package(vulns=[{"id": "CVE-1", "fix_versions": []}]), Verdict.FAILED),
        (package(skip_reason="Dependency not found"), Verdict.UNCHECKED),
        ('{"dependencies": []}', Verdict.UNCHECKED),
        ("", Verdict.UNCHECKED),
        ("Traceback", Verdict.UNCHECKED),
    ],
)
def test_advisories_that_nobody_could_be_asked_for_are_not_passed(report: str, verdict: Verdict) -> None:
    outcome = advisories_of(report, "cannot connect")
    assert outcome.verdict is verdict
    assert ("CVE-1" in outcome.details) is (verdict is Verdict.FAILED)


@pytest.mark.parametrize(
    ("licence", "permitted"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache Software License; BSD License", True),
        ("Apache Software License; GNU General Public License v3 (GPLv3)", False),
        ("UNKNOWN", False),
        ("Not MIT", False),
    ],
)
def test_every_part_of_a_licence_has_to_be_permitted(licence: str, permitted: bool) -> None:
    assert is_permitted(licence) is permitted
    outcome = licences_of([{"Name": "a", "Version": "1", "License": licence}])
    assert outcome.verdict is (Verdict.PASSED if permitted else Verdict.FAILED)


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([Verdict.PASSED, Verdict.PASSED], 0),
        ([Verdict.PASSED, Verdict.UNCHECKED], NOT_CHECKED),
        ([Verdict.UNCHECKED, Verdict.FAILED], 1),
    ],
)
def test_the_exit_status_pretends_nothing(
    verdicts: list[Verdict], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit([functools.partial(Outcome, "it", verdict, "so") for verdict in verdicts]) == status
    assert [line.split("it:")[0].strip() for line in capsys.readouterr().out.splitlines()] == [
        verdict.value for verdict in verdicts
    ]
