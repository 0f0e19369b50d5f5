"""The report for people, in Markdown: what won, whether that is more than luck, and what else was tried."""

import json
from collections.abc import Iterator, Sequence

from caravan.tune.numbers import Estimate, gain
from caravan.tune.objectives import needs_answers
from caravan.tune.records import Findings, Record, State, ranked, sign_of
from caravan.tune.report.presets import named, one_line

_MOST_ROWS = 15


def page(findings: Findings, charts: Sequence[str]) -> str:
    """The whole page; `charts` are files beside it."""
    return "\n".join(
        [*_head(findings), *_winner(findings), *_held_out(findings), *_trials(findings), *_charts(charts)]
    )


def _head(findings: Findings) -> Iterator[str]:
    task = findings.task
    states = [record.state for record in findings.records]
    counts = ", ".join(f"{states.count(state)} {state.value}" for state in State if state in states)
    yield f"# {task.name}: decoding parameters for {findings.model}"
    yield ""
    yield f"- Objectives: {', '.join(f'{one.direction} {one.title}' for one in task.objectives)}"
    yield f"- Search: {task.search.method}; trials: {counts or 'none'}; the end: {findings.ending.value}"
    if findings.message:
        yield f"- {findings.message}"
    if any(map(needs_answers, task.objectives)):
        yield f"- Each trial asks each prompt {task.search.repeats} times, with the same seeds for all trials"
    yield (
        f"- Spent: {findings.num_requests} requests, {findings.num_tokens} tokens of prompts and answers, "
        f"{findings.seconds:.0f} seconds"
    )
    yield "- ± is half of a 95 % confidence interval"
    yield ""


def _winner(findings: Findings) -> Iterator[str]:
    winner = findings.winner
    if winner is None:
        yield "No trial was measured to the end, so there is no winner."
        yield ""
        return
    yield f"## The winner: trial {winner.number}"
    yield ""
    yield "```json"
    yield one_line(dict(winner.parameters))
    yield "```"
    yield ""
    yield f"That is a line to paste into a request, or the preset `{findings.task.name}` in `presets.json`:"
    yield ""
    yield "```text"
    yield "caravan serve --presets presets.json"
    yield "```"
    yield ""
    if any(estimate.half is None for estimate in winner.estimates):
        yield "A trial has one score alone, so nothing tells how sure it is: more prompts or repeats would."
        yield ""
    else:
        yield from _alike(findings, winner)
    if len(findings.task.objectives) > 1:
        yield from _front(findings)


def _alike(findings: Findings, winner: Record) -> Iterator[str]:
    alike = [one for one in findings.complete if one.number != winner.number and findings.is_as_good(one)]
    others = len(findings.complete) - 1
    yield (
        f"{len(alike)} of the other {others} trials are within the noise of it: what they have in common "
        "matters, what they differ in does not."
    )
    yield ""


def _front(findings: Findings) -> Iterator[str]:
    yield "No trial is better than one of these in everything. The winner loses least of what could be had."
    yield ""
    names = {record.number: name for name, record in named(findings).items()}
    rows = [[f"`{names[record.number]}`", *_cells(findings, record)] for record in findings.front]
    yield from _table(["preset", *_columns(findings)], rows)


def _held_out(findings: Findings) -> Iterator[str]:
    held_out = findings.held_out
    if held_out is None:
        yield "No prompts were held out, or none were measured yet. The best of many trials is partly luck."
        yield ""
        return
    yield "## On prompts that the search has not seen"
    yield ""
    titles = [objective.title for objective in findings.task.objectives]
    rows = [["defaults", *map(str, held_out.estimates(None)), *("" for _ in titles)]]
    for number, scores in held_out.finalists.items():
        gains = [gain(mine, theirs) for mine, theirs in zip(scores, held_out.defaults, strict=True)]
        rows.append([f"trial {number}", *map(str, held_out.estimates(number)), *map(_signed, gains)])
    yield from _table(["", *titles, *(f"{title}, against the defaults" for title in titles)], rows)
    yield from _verdict(findings)


def _verdict(findings: Findings) -> Iterator[str]:
    winner, held_out = findings.winner, findings.held_out
    if winner is None or held_out is None or winner.number not in held_out.finalists:
        return
    for index, objective in enumerate(findings.task.objectives):
        found = gain(held_out.finalists[winner.number][index], held_out.defaults[index])
        sign = sign_of(findings.task, index)
        if found.half is None or abs(found.mean) <= found.half:
            told = "cannot be told from the defaults on these prompts; more prompts or repeats may"
        elif sign * found.mean > 0:
            told = "is better than the defaults by more than the noise"
        else:
            told = "is worse than the defaults by more than the noise"
        yield f"- {objective.title}: the winner {told}."
    yield ""


def _signed(estimate: Estimate) -> str:
    return f"+{estimate}" if estimate.mean > 0 else str(estimate)


def _trials(findings: Findings) -> Iterator[str]:
    best = ranked(findings.task, findings.complete)[:_MOST_ROWS]
    rows = [[str(record.number), *_cells(findings, record)] for record in best]
    if findings.defaults is not None:
        rows.append(["defaults", *_cells(findings, findings.defaults)])
    yield f"## The best {len(best)} trials"
    yield ""
    yield from _table(["trial", *_columns(findings)], rows)
    yield "`trials.csv` has all of them, `report.json` every score, `answers.jsonl` every answer."
    yield ""
    failed = [record for record in findings.records if record.state is State.FAILED]
    if failed:
        yield "## Failed"
        yield ""
        yield from (
            f"- trial {one.number}, `{one_line(dict(one.parameters))}`: {one.message}" for one in failed
        )
        yield ""


def _columns(findings: Findings) -> list[str]:
    titles = [objective.title for objective in findings.task.objectives]
    return [*(f"`{name}`" for name in findings.task.space), *titles]


def _cells(findings: Findings, record: Record) -> list[str]:
    values = [record.parameters.get(name) for name in findings.task.space]
    shown = ["" if value is None else json.dumps(value) for value in values]
    return [*shown, *map(str, record.estimates)]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (columns, ["---"] * len(columns), *rows):
        cells = [cell.replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _charts(charts: Sequence[str]) -> Iterator[str]:
    if not charts:
        return
    yield "## Charts"
    yield ""
    for name in charts:
        yield f"![{name.removesuffix('.png')}]({name})"
    yield ""
