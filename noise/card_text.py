"""A card for a person: one line, one page, or the whole matrix."""

import textwrap

from noise.card import Card

MATRIX_LIMIT = 20  # classes up to which a matrix fits on a page of text
WIDTH, INDENT = 110, 14


def card_line(card: Card) -> str:
    """Return the card in one line: the four rates, the id, the convention."""
    return (
        f"{card['label']}: {_asked(card)}, expected {share(card['expected'])}, "
        f"actual {share(card['actual'])} over {card['num_samples']:,}, effective {share(card['effective'])} "
        f"on the {card['trained']:,} trained on; id {card['noise_id']}; "
        f"{card['dialect']}, {card['convention']}, {card['flips']}"
        + (f"; {card['foreign']:,} foreign images" if card["foreign"] else "")
        + ("; NOT diagonally dominant" if card["diagonally_dominant"] is False else "")
    )


def card_text(card: Card) -> str:
    """Return the card as a page for a terminal."""
    data = [card["dataset"] or "unnamed data", f"{card['num_classes']} classes", f"noise on {card['covers']}"]
    lines = [
        f"{card['label']}  {card['noise_id']}",
        f"  rates       {_asked(card)}, expected {share(card['expected'])}, "
        f"actual {share(card['actual'])}, effective {share(card['effective'])}",
        f"  definition  {card['family']}, {card['dialect']}: {card['convention']}, {card['flips']}"
        + (f"; {card['formula']}" if card.get("formula") else ""),
        *_settings(card),
        f"  used by     {card['used_by']}",
        *([f"  source      {card['source']}"] if card.get("source") else []),
        f"  drawn       {_drawn(card)}",
        f"  data        {', '.join(data)}" + (f", digest {card['digest'][:12]}" if card["digest"] else ""),
        f"  labels      sha256 {card['given_sha256']}",
        *(_counted(card) if card["counts"] else ["  wrong       unknown: nobody knows the true labels of these data"]),
    ]
    if card["foreign"]:
        lines.append(f"  foreign     {card['foreign']:,} images from another data set; none of their labels is right")
    if card.get("known_classes"):
        lines.append(f"  classes     those from {card['known_classes']} on are foreign; tests leave them out")
    lines += [f"  note        {note}" for note in [*card.get("notes", []), *_advice(card)]]
    if card["diagonally_dominant"] is False:
        lines.append(
            "  WARNING     in some class the true label is not the most frequent one: it cannot be learnt back"
        )
    return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str) -> str:
    """Return a line that fits a terminal, continued below its text."""
    if len(line) <= WIDTH:
        return line
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * INDENT, drop_whitespace=True, break_long_words=False)


def matrix_text(card: Card) -> str:
    """Return the counted transition matrix in percent, rows the true and columns the given class.

    More than 20 classes do not fit a page: then the 20 most frequent confusions are listed.
    """
    counts = card["counts"]
    if not counts:
        return "no matrix: the true labels are unknown"
    if len(counts) > MATRIX_LIMIT:
        return "most frequent confusions (true -> given: samples)\n  " + top_confusions(counts, MATRIX_LIMIT)
    head = "true\\given" + "".join(f"{given:>7d}" for given in range(len(counts)))
    rows = [
        f"{true:>10d}" + "".join(f"{100 * n / max(1, sum(row)):7.2f}" if n else "      ." for n in row)
        for true, row in enumerate(counts)
    ]
    return "\n".join([head, *rows])


def share(value: float | None) -> str:
    """Return a share with three decimals and no leading zero, or "unknown"."""
    if value is None:
        return "unknown"
    return f"{value:.3f}".removeprefix("0") if value >= 0 else f"{value:.3f}"


def top_confusions(counts: list[list[int]], top: int = 5) -> str:
    """Return the most frequent wrong pairs, true -> given: samples."""
    pairs = [(-n, y, g) for y, row in enumerate(counts) for g, n in enumerate(row) if y != g and n]
    return ", ".join(f"{y} -> {g}: {-n:,}" for n, y, g in sorted(pairs)[:top]) or "none"


def _asked(card: Card) -> str:
    return "no rate asked" if card["asked"] is None else f"asked {share(card['asked'])}"


def _settings(card: Card) -> list[str]:
    settings = {**({"map": card["map"]} if card["map"] is not None else {}), **card["options"]}
    settings = {key: value for key, value in settings.items() if value != ""}
    return [f"  options     {', '.join(f'{key} {value}' for key, value in settings.items())}"] if settings else []


def _drawn(card: Card) -> str:
    if card["generator"] == "none":
        return "nothing was drawn: the labels are given"
    return f"{card['generator']}, seed {card['seed']}, numpy {card['numpy']}"


def _counted(card: Card) -> list[str]:
    chance = "" if card["z"] is None else f"; chance put it {card['z']:+.1f} sd from expected"
    return [
        f"  wrong       {card['wrong']:,} of {card['num_samples']:,}; "
        f"{card['trained_wrong']:,} of the {card['trained']:,} trained on{chance}",
        f"  by class    wrong from {_extremes(card['rate_by_class'])}",
        f"  by label    wrong among those given it from {_extremes(card['wrong_share_by_given'])}",
        f"  confusions  {top_confusions(card['counts'])}",
        f"  diagonal    smallest entry {share(card['smallest_diagonal'])}, "
        + ("diagonally dominant" if card["diagonally_dominant"] else "not diagonally dominant"),
    ]


def _advice(card: Card) -> list[str]:
    if card["convention"] != "inclusive" or card["asked"] is None:
        return []
    ask = card["asked"] * card["num_classes"] / (card["num_classes"] - 1)
    return [f"a flip may keep the true class: to make {share(card['asked'])} wrong ask {ask:.4g}"] if ask < 1 else []


def _extremes(shares: list[float | None]) -> str:
    known = [(value, c) for c, value in enumerate(shares) if value is not None]
    if not known:
        return "no class"
    low, high = min(known), max(known)
    return f"{share(low[0])} (class {low[1]}) to {share(high[0])} (class {high[1]})"
