"""Whether every installed package may be used as we use it: its licence asks for no more than to be named."""

import json
import re
import sys
from collections.abc import Mapping, Sequence

from deploy.audit.outcome import Outcome, Verdict, problems, tool

SUBJECT = "licences"
# As packages write them: by SPDX, or in the words of the index. MPL binds changes of its own files alone.
_PERMITTED = re.compile(
    r"MIT(-0|-CMU| License)?|(0|3-Clause )?BSD( License)?|BSD-[23]-Clause|Apache(-2\.0| Software License)?"
    r"|ISC( License \(ISCL\))?|PSF-2\.0|Python Software Foundation License|Zlib|CC0-1\.0|Unlicense"
    r"|MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\)"
)
# Whose own words are unclear, and what a reading of their files has shown.
_READ: Mapping[str, str] = {}


def licences() -> Outcome:
    """Those of the environment that this runs in."""
    ended = tool("pip-licenses", f"--python={sys.executable}", "--from=mixed", "--format=json")
    try:
        return judged(json.loads(ended.output))
    except ValueError:
        return Outcome(SUBJECT, Verdict.UNCHECKED, f"pip-licenses does not work: {ended.last_words}")


def judged(packages: Sequence[Mapping[str, str]]) -> Outcome:
    """What is not permitted, of packages as pip-licenses lists them."""
    found = [
        f"{package['Name']} {package['Version']}: {package['License']}"
        for package in packages
        if not is_permitted(package["License"]) and package["Name"] not in _READ
    ]
    if not packages:
        return Outcome(SUBJECT, Verdict.UNCHECKED, "no package was found")
    return problems(SUBJECT, found, f"{len(packages)} packages, all permitted")


def is_permitted(licence: str) -> bool:
    """Whether all parts of an expression are, of alternatives one."""
    return all(any(map(_PERMITTED.fullmatch, part.split(" OR "))) for part in re.split(" AND |; ", licence))
