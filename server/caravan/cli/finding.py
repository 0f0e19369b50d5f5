"""What `caravan doctor` finds, one thing at a time."""

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """How bad a finding is. Only FAULT has to be mended."""

    FINE = "fine"
    ADVICE = "advice"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""
