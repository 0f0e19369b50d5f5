"""`caravan doctor`: what is wrong here, and how to mend it."""

from caravan.cli.errors import CommandError
from caravan.cli.options import with_settings
from caravan.config.load import Configuration


def _doctor(configuration: Configuration) -> None:
    """Check the processor, memory, the build of llama.cpp and the options, and compute a first prompt.

    Takes the options of `caravan serve`. The exit code is 1 if something has to be fixed.
    """
    from rich.console import Console
    from rich.markup import escape

    from caravan.cli.doctor_checks import findings
    from caravan.cli.finding import Verdict

    signs = {Verdict.FINE: "[green]ok[/]  ", Verdict.ADVICE: "[yellow]note[/]", Verdict.FAULT: "[red]bad[/] "}
    console = Console(highlight=False, soft_wrap=True)
    num_faults = 0
    for finding in findings(configuration.settings):
        console.print(f"{signs[finding.verdict]}  {finding.subject}: {escape(finding.detail)}")
        if finding.remedy:
            console.print(f"      {escape(finding.remedy)}")
        num_faults += finding.verdict is Verdict.FAULT
    if num_faults:
        raise CommandError(f"{num_faults} to be mended" if num_faults > 1 else "one thing is to be mended")


command = with_settings(_doctor)
