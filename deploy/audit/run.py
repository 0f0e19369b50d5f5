"""`make audit`: every check, a line each, and an exit status that pretends nothing.

0: all passed. 1: something was found. 3: nothing was found, but something could not be looked at; `--offline`
leaves out what needs a service of advisories, says so, and is 0 without it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from deploy.audit.advisories import SUBJECT, advisories
from deploy.audit.code import code
from deploy.audit.licences import licences
from deploy.audit.outcome import Outcome, Verdict
from deploy.audit.pins import agreement, downloads

NOT_CHECKED = 3


def audit(checks: Sequence[Callable[[], Outcome]]) -> int:
    """Run the checks, print what they find; the exit status."""
    verdicts = set()
    for check in checks:
        outcome = check()
        verdicts.add(outcome.verdict)
        print(f"{outcome.verdict.value:<12}{outcome.subject}: {outcome.summary}", flush=True)
        for line in outcome.details.splitlines():
            print(f"            {line}")
    if Verdict.FAILED in verdicts:
        return 1
    return NOT_CHECKED if Verdict.UNCHECKED in verdicts else 0


def main() -> int:
    """Run from `make`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offline", action="store_true", help="do without the service of advisories")
    is_offline = parser.parse_args().offline
    checks: list[Callable[[], Outcome]] = [agreement, downloads, licences, code]
    status = audit(checks if is_offline else [*checks, advisories])
    if is_offline:
        print(f"left out    {SUBJECT}: run it without --offline where its service can be reached")
    return status


if __name__ == "__main__":
    sys.exit(main())
