"""Markdown tables of what each engine offers and how its figures are counted."""

from collections.abc import Iterable, Mapping

from goodwatt.engines.profile import Alternative, Profile, Term
from goodwatt.model.engine import Moves, OneToken, Outcome, Signal

NOT_OFFERED = "–"  # noqa: RUF001 - a dash in a table
_MOVES = {Moves.STEP: "every step", Moves.FIRST_TOKEN: "at the first token", Moves.FINISH: "when a request ends"}
_ONE_TOKEN = {OneToken.ZERO: "0 s", OneToken.SKIPPED: "skipped"}
_AGE = {True: "current", False: "may be stale"}
_ABORTED = {True: "counted", False: "not counted", None: "unknown"}


def coverage_matrix(profiles: Mapping[str, Profile]) -> str:
    """The tables of docs/engines.md: signals per engine, how they count, and the metrics each engine is read from."""
    ordered = sorted(profiles.values(), key=lambda one: one.title.lower())
    tables = [_table(_coverage(ordered)), _table(_meaning(ordered))]
    return "\n".join([*tables, *(f"#### {one.title}\n\n{_table(_sources(one))}" for one in ordered)])


def _coverage(profiles: Iterable[Profile]) -> list[list[str]]:
    offers = [[one.title, *("yes" if signal in one.signals else NOT_OFFERED for signal in Signal)] for one in profiles]
    return [["engine", *(f"`{signal}`" for signal in Signal)], *offers]


def _meaning(profiles: Iterable[Profile]) -> list[list[str]]:
    head = [
        "engine",
        "`engine:`",
        "page",
        "generated tokens are counted",
        "prompt tokens are counted",
        "client hangs up",
    ]
    head += ["`tpot` of one token", "`itl` is observed per", "`requests_running`", "model", "replica labels", "spans"]
    return [head, *(_row(one) for one in profiles)]


def _row(one: Profile) -> list[str]:
    traits = one.traits
    per = dict.fromkeys(str(alternative.per) for alternative in one.signals.get(Signal.ITL, ()))
    tpot = None if Signal.TPOT not in one.signals else traits.one_token_tpot
    has_tokens = Signal.GENERATED_TOKENS in one.signals
    return [
        one.title,
        f"`{one.name}`" + (" only" if one.named_only else ""),
        " ".join([*(f":{port}" for port in one.ports[:1]), f"`{one.path}`"]),
        _MOVES[traits.tokens_move] if has_tokens else NOT_OFFERED,
        _MOVES[traits.prompt_tokens_move or traits.tokens_move] if Signal.PROMPT_TOKENS in one.signals else NOT_OFFERED,
        _ABORTED[traits.counts_aborted] if Signal.REQUESTS in one.signals else NOT_OFFERED,
        NOT_OFFERED if tpot is None else _ONE_TOKEN[tpot],
        " or ".join(per) or NOT_OFFERED,
        _AGE[traits.running_is_current] if Signal.REQUESTS_RUNNING in one.signals else NOT_OFFERED,
        " or ".join(f"`{label}`" for label in one.labels.model)
        or (f"`{one.model_name_from}`" if one.model_name_from else NOT_OFFERED),
        ", ".join(f"`{label}`" for label in one.labels.replica) or NOT_OFFERED,
        NOT_OFFERED if one.spans is None else ", ".join(dict.fromkeys(f"`{name.strip()}`" for name in one.spans.names)),
    ]


def _sources(one: Profile) -> list[list[str]]:
    return [
        ["signal", "read from"],
        *([f"`{signal}`", _cell(one, signal)] for signal in Signal if signal in one.signals),
    ]


def _cell(profile: Profile, signal: Signal) -> str:
    return " or ".join(dict.fromkeys(_metrics(one) for one in profile.signals[signal]))


def _metrics(alternative: Alternative) -> str:
    return " + ".join(dict.fromkeys(_term(term) for term in alternative.sum))


def _term(term: Term) -> str:
    outcome = f" = {term.outcome}" if isinstance(term.outcome, Outcome) else ""
    less = "" if term.less is None else f" less `{term.less}`"
    scale = "" if term.scale == 1.0 else f" x {term.scale:g}"
    return f"`{term.metric}`{_filters(term)}{less}{scale}{outcome}"


def _filters(term: Term) -> str:
    only = [f"{label} {_either(values)}" for label, values in term.where.items()]
    without = [f"{label} not {_either(values)}" for label, values in term.unless.items()]
    return f" ({', '.join([*only, *without])})" if only or without else ""


def _either(values: Iterable[str]) -> str:
    return " or ".join(f"`{value}`" for value in values)


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *body))
