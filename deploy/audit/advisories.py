"""Whether a weakness is known of a pinned version. Only this asks a service beside the packages' own."""

import json
from typing import Any

from deploy.audit.outcome import HASHES, Outcome, Verdict, problems, tool

SUBJECT = "advisories"
_FORM = ("--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")


def advisories() -> Outcome:
    """What pip-audit is told of each pin; UNCHECKED where nobody tells it anything."""
    ended = tool("pip-audit", f"--requirement={HASHES}", *_FORM)
    return judged(ended.output, ended.last_words)


def judged(report: str, last_words: str) -> Outcome:
    """What a report says; pip-audit writes none where it could not ask."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Outcome(SUBJECT, Verdict.UNCHECKED, f"the service could not be asked: {last_words}")
    found = [
        f"{package['name']} {package['version']}: {weakness['id']}, mended in "
        f"{', '.join(weakness['fix_versions']) or 'no version yet'}"
        for package in packages
        for weakness in package.get("vulns", ())
    ]
    if found:
        return problems(SUBJECT, found, "")
    # pip-audit itself calls that a success, though it may have been told of nothing at all.
    num_unknown = sum("skip_reason" in package for package in packages)
    if num_unknown or not packages:
        message = f"the service tells nothing of {num_unknown} of {len(packages)} packages"
        return Outcome(SUBJECT, Verdict.UNCHECKED, message)
    return Outcome(SUBJECT, Verdict.PASSED, f"none is known for {len(packages)} packages")
