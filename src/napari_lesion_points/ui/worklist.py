"""Which cases are listed, in which order, which to read next, and how far the study has come.

A case is worth as much of a reader's time as the review of its candidates is expected to change the number of lesions
(`CaseSummary.benefit`). Cases of no benefit (no model has read them, or all candidates are judged) come after the
others, in the study's order. Cases by chance follow one random order of the study, the same for every reader and in
every session: its first n cases are a random sample of the study, which reading by benefit is not.

Nothing here touches Qt, napari or files, and nothing needs an image.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari_lesion_points.core.records import CaseState
from napari_lesion_points.ui.translation import _, ngettext
from napari_lesion_points.ui.vocabulary import STATE_WORDS
from napari_lesion_points.ui.words import remaining, seconds_at_pace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_lesion_points.store.study import CaseSummary

#: The newest finished cases tell the pace.
PACE_OF = 20

_STATES = tuple(CaseState)


class Show(StrEnum):
    """Which cases the list has."""

    ALL = "all cases"
    NEW = "new"
    IN_PROGRESS = "in progress"
    DONE = "done"
    TO_REVIEW = "to review"  # with candidates that have no verdict


class Column(StrEnum):
    """What the list tells of a case, and can be sorted by."""

    CASE = "Case"
    STATE = "State"
    POINTS = "Points"
    REVIEWED = "Reviewed"
    BENEFIT = "Gain"


class Way(StrEnum):
    """How a reader goes on to the next case."""

    LIST = "in the list's order"
    BENEFIT = "by expected benefit"
    CHANCE = "by chance"


@dataclass(frozen=True)
class Choice:
    """What the reader wants to see of the list: `search` is looked for in names and notes, in any case of letters."""

    show: Show = Show.ALL
    search: str = ""
    column: Column = Column.CASE
    descending: bool = False


def ordered(cases: Sequence[CaseSummary], choice: Choice) -> tuple[CaseSummary, ...]:
    """Return all cases in the order chosen; equals in the study's order.

    Examples
    --------
    >>> from napari_lesion_points.store.study import CaseSummary
    >>> two = CaseSummary("a", CaseState.DONE, 1, 0, 0), CaseSummary("b", CaseState.NEW, 3, 0, 0)
    >>> [s.case for s in ordered(two, Choice(column=Column.POINTS, descending=True))]
    ['b', 'a']
    """
    if choice.column is Column.CASE:
        return tuple(reversed(cases)) if choice.descending else tuple(cases)
    return tuple(sorted(cases, key=_KEYS[choice.column], reverse=choice.descending))


def listed(cases: Sequence[CaseSummary], choice: Choice) -> tuple[CaseSummary, ...]:
    """Return the cases that pass filter and search, in the order in which they come."""
    words = choice.search.casefold().split()
    if choice.show is Show.ALL and not words:
        return tuple(cases)
    passes = _FILTERS[choice.show]
    return tuple(s for s in cases if passes(s) and _matches(s, words))


def neighbours(order: Sequence[CaseSummary], rows: Sequence[CaseSummary], case: str) -> tuple[str, str]:
    """Return the listed cases before and after one, or "" where there is none.

    A case that is not listed itself (it was just finished, and only new ones are shown) keeps its place in the order
    of all.

    Parameters
    ----------
    order, rows
        All cases in the order chosen, and those of them that are listed.
    case : str
        The one on screen.
    """
    places = {s.case: k for k, s in enumerate(order)}
    if case not in places:
        return "", ""
    before = [s.case for s in rows if places[s.case] < places[case]]
    after = next((s.case for s in rows if places[s.case] > places[case]), "")
    return (before[-1] if before else ""), after


def next_case(
    cases: Sequence[CaseSummary], way: Way, seed: str, visited: frozenset[str] = frozenset(), at: str = ""
) -> str:
    """Return the case to read next, by benefit or by chance; "" when all others are done.

    A case that was opened already in this session comes again only when all others have been.

    Parameters
    ----------
    cases
        Of the study, in its order.
    way : Way
        By benefit or by chance.
    seed : str
        Of the random order: what does not change for a study.
    visited : frozenset of str
        Cases opened in this session.
    at : str
        The case on screen.

    Examples
    --------
    >>> from napari_lesion_points.store.study import CaseSummary
    >>> some = [CaseSummary(name, CaseState.NEW, 0, 9, 0, "", gain) for name, gain in (("a", 0), ("b", 2), ("c", 1))]
    >>> next_case(some, Way.BENEFIT, ""), next_case(some, Way.BENEFIT, "", frozenset({"b"}), "b")
    ('b', 'c')
    """
    waiting = [s for s in cases if s.state is not CaseState.DONE and s.case != at]
    if way is Way.BENEFIT:
        waiting.sort(key=lambda s: -s.benefit)
    else:
        waiting.sort(key=lambda s: draw(s.case, seed))
    waiting.sort(key=lambda s: s.case in visited)
    return waiting[0].case if waiting else ""


def draw(case: str, seed: str) -> str:
    """Return what the random order of a study sorts by: it stays when cases are added, and on every computer."""
    return hashlib.sha256(f"{seed}\n{case}".encode()).hexdigest()


def progress(cases: Sequence[CaseSummary], finished_s: Sequence[float]) -> str:
    """Tell how far the study has come and, at the pace of the newest cases, for how long it goes on.

    Candidates of finished cases are not waited for.

    Parameters
    ----------
    cases
        Of the study.
    finished_s : sequence of float
        When the newest cases were set to done, seconds.

    Examples
    --------
    >>> from napari_lesion_points.store.study import CaseSummary
    >>> done, waiting = CaseSummary("a", CaseState.DONE, 4, 9, 8), CaseSummary("b", CaseState.NEW, 0, 7, 2)
    >>> progress([done] * 4 + [waiting] * 2, (0.0, 60.0, 90.0, 150.0))
    '4 of 6 done · 16 points · 10 to review · about 2 min left'
    """
    if not cases:
        return ""
    waiting = [s for s in cases if s.state is not CaseState.DONE]
    points = sum(s.annotations for s in cases)
    parts = [
        _("{count} of {total} done").format(count=len(cases) - len(waiting), total=len(cases)),
        ngettext("{count} point", "{count} points", points).format(count=points),
    ]
    if to_review := sum(s.candidates - s.reviewed for s in waiting):
        parts.append(_("{count} to review").format(count=to_review))
    left = remaining(seconds_at_pace(finished_s, len(waiting)))
    return " · ".join((*parts, left) if left else parts)


def state_of(summary: CaseSummary) -> str:
    """Return the state of a case in words; done without a point means that it has been read and has no lesions."""
    if summary.state is CaseState.DONE and not summary.annotations:
        return _("done, no lesions")
    return STATE_WORDS[summary.state]


def cells(summary: CaseSummary) -> dict[Column, str]:
    """Return what the list shows of a case; a pen marks one with a note."""
    return {
        Column.CASE: f"{summary.case} ✎" if summary.note else summary.case,
        Column.STATE: state_of(summary),
        Column.POINTS: str(summary.annotations) if summary.annotations else "–",
        Column.REVIEWED: f"{summary.reviewed}/{summary.candidates}" if summary.candidates else "–",
        Column.BENEFIT: f"{summary.benefit:.1f}" if summary.benefit else "–",
    }


def tip(summary: CaseSummary) -> str:
    """Return what the list says of a case under the pointer."""
    lines = [f"{summary.case}: {state_of(summary)}"]
    if summary.note:
        lines.append(_("Note: {text}").format(text=summary.note))
    if summary.benefit:
        gain = _("Reviewing it changes the number of lesions by {benefit:.1f}, as far as one can expect.")
        lines.append(gain.format(benefit=summary.benefit))
    return "\n".join(lines)


def _matches(summary: CaseSummary, words: Sequence[str]) -> bool:
    text = f"{summary.case} {summary.note}".casefold()
    return all(word in text for word in words)


_FILTERS: dict[Show, Callable[[CaseSummary], bool]] = {
    Show.ALL: lambda s: True,
    Show.NEW: lambda s: s.state is CaseState.NEW,
    Show.IN_PROGRESS: lambda s: s.state is CaseState.IN_PROGRESS,
    Show.DONE: lambda s: s.state is CaseState.DONE,
    Show.TO_REVIEW: lambda s: s.reviewed < s.candidates,
}

_KEYS: dict[Column, Callable[[CaseSummary], Any]] = {
    Column.STATE: lambda s: _STATES.index(s.state),
    Column.POINTS: lambda s: s.annotations,
    Column.REVIEWED: lambda s: (s.reviewed / s.candidates if s.candidates else -1.0, s.candidates),
    Column.BENEFIT: lambda s: s.benefit,
}
