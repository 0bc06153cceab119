"""The part `augment` of a set in words."""

from recbole_edt.artefacts.store import AUGMENT, ArtefactSet, Entry

# Manifests of existing sets call a deficit "demand" and its candidates "pool".
_COUNTED = {
    "demands_without_pool": "deficits have no candidate near what the user has",
    "without_history_titles": "deficits are of users without a titled item",
    "items_without_title": "items without title are neither candidates nor shown",
}


def count_lines(counts: Entry) -> list[str]:
    """Return what was counted before any question."""
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
    if "questions" in entry:
        spent = entry["spent"]
        lines.append(
            f"  {entry['questions']:,} questions ({entry['none_replies']:,} answered none), "
            f"{spent['calls']:,} calls, {spent['prompt_tokens']:,} tokens read, "
            f"{spent['generated_tokens']:,} written or scored, {spent['seconds']:,.0f} s, "
            f"cost {spent['cost']:,.2f}"
        )
    if entry.get("failed"):
        lines.append(
            f"  {entry['failed']:,} questions failed; the same command asks only those again"
        )
    return "\n".join(lines)
