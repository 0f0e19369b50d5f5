"""What bandit thinks of our own code. Findings that are none have `# nosec`, the test and the reason."""

from deploy.audit.outcome import Outcome, Verdict, tool

_FOLDERS = ("server", "schemas", "deploy")


def code() -> Outcome:
    """Everything that is installed or run by an operator; the tests are not."""
    ended = tool("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *_FOLDERS)
    if ended.status == 0:
        return Outcome("bandit", Verdict.PASSED, "nothing that is not explained")
    return Outcome("bandit", Verdict.FAILED, "see below", ended.output + ended.errors)
