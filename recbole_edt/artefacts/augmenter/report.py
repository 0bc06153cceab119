"""The part `augment` of a set in words."""

from recbole_edt.artefacts.failure_lines import failure_lines
from recbole_edt.artefacts.store import AUGMENT, ArtefactSet, Entry

# Manifests of existing sets call a deficit "demand" and its candidates "pool".
_COUNTED = {
    "demands_without_pool": "deficits have no candidate near what the user has",
    "without_history_titles": "deficits are of users without a titled item",
    "items_without_title": "items without title are neither candidates nor shown",
}


def count_lines(counts: Entry) -> list[str]:
    """Return what was counted before any question."""
    if "pairs" in counts:
        lines = [
            f"  {counts['asked_users']:,} of {counts['users']:,} users: {counts['pairs']:,} "
            f"ordered pairs of domains, {counts['representatives']:,} representative items shown, "
            f"at most {counts['budget']:,} items wanted"
        ]
        if counts["cut_titles"]:
            lines.append(f"  {counts['cut_titles']:,} titles were cut")
        return lines
    lines = [
        f"  {counts['imbalanced_users']:,} of {counts['users']:,} users lack items in a domain: "
        f"{counts['demands']:,} deficits, at most {counts['budget']:,} items, "
        f"{counts['pool_items']:,} candidates"
    ]
    return lines + [
        f"  {counts[key]:,} {text}" for key, text in _COUNTED.items() if counts.get(key)
    ]


def describe(artefacts: ArtefactSet) -> str:
    """Return the manifest's entry as lines of text."""
    entry = artefacts.manifest[AUGMENT]
    lines = count_lines(entry)
    by_domain = ", ".join(f"{name} {n:,}" for name, n in entry["accepted_by_domain"].items())
    lines.append(
        f"  {entry['accepted']:,} interactions accepted for {entry['augmented_users']:,} users"
        + (f" ({by_domain})" if by_domain else "")
    )
    if entry["rejects"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in entry["rejects"].items())
        lines.append(f"  rejected: {reasons}")
        lines += _warnings(entry)
    if "questions" in entry:
        spent = entry["spent"]
        lines.append(
            f"  {entry['questions']:,} questions ({entry['none_replies']:,} answered none), "
            f"{spent['calls']:,} calls, {spent['prompt_tokens']:,} tokens read, "
            f"{spent['generated_tokens']:,} written or scored, {spent['seconds']:,.0f} s, "
            f"cost {spent['cost']:,.2f}"
        )
    return "\n".join(lines + failure_lines(entry, "only those"))


_MOSTLY = {
    "in_history": "repeat the user's history: the model copies its prompt",
    "other_script": "are in a script of no title here: the model answers in another language",
    "ungrounded": "are near no item of the domain: the model does not know this catalogue",
    "like_random_items": "are no nearer to the representatives than random items are",
    "far_from_representatives": "are far from the representatives that they came from",
}


def _warnings(entry: Entry) -> list[str]:
    """Return a line when one reason rejects more than half of all titles."""
    rejects = entry["rejects"]
    total = entry["accepted"] + sum(n for k, n in rejects.items() if not k.startswith("failed_"))
    return [
        f"  most titles ({rejects[reason]:,} of {total:,}) {text}"
        for reason, text in _MOSTLY.items()
        if "pairs" in entry and 2 * rejects.get(reason, 0) > total
    ]
