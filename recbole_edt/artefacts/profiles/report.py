"""The part `profiles` of a set in words."""

from collections.abc import Mapping

from recbole_edt.artefacts.failure_lines import failure_lines
from recbole_edt.artefacts.store import OVERALL, PROFILES, ArtefactSet, Entry


def describe(artefacts: ArtefactSet) -> str:
    """Return the manifest's entry as lines of text."""
    entry = artefacts.manifest[PROFILES]
    kind = "overall profiles" if entry.get(OVERALL) else "profiles"
    lines = [
        f"  set {artefacts.hash} in {artefacts.path}",
        f"  {entry['profiles']:,} {kind} of {entry['users']:,} users "
        f"in {len(entry['domains'])} domains ({', '.join(entry['domains'])})",
        *count_lines(entry),
        *_repetition_lines(entry),
    ]
    if "llm" in entry:
        lines += _cost_lines(entry)
    else:
        lines.append("  made of the titles themselves, without a language model")
    if entry["encoder_cut_texts"]:
        lines.append(f"  {entry['encoder_cut_texts']:,} texts were cut at encoder_max_length")
    return "\n".join(lines)


def count_lines(counts: Entry) -> list[str]:
    """Return what was counted before any question."""
    lines = [f"  {counts['asked']:,} pairs of user and domain"]
    if "groups" in counts:
        lines = [
            f"  {counts['asked']:,} questions about {counts['groups']:,} groups of "
            f"{counts['asked_users']:,} users, and one merging question per user"
        ]
    if counts.get("cut_groups"):
        lines.append(
            f"  {counts['cut_groups']:,} groups have more items than profile_history in a domain; "
            "the latest are shown"
        )
    if counts.get("masked_groups"):
        lines.append(f"  groups without a text: {by_reason(counts['masked_groups'])}")
    if counts["masked"]:
        lines.append(f"  without a profile: {by_reason(counts['masked'])}")
    if counts.get("untitled"):
        lines.append(f"  {counts['untitled']:,} items without title were left out")
    if counts["cut_titles"]:
        lines.append(f"  {counts['cut_titles']:,} titles were cut")
    return lines


def by_reason(counts: Mapping[str, int]) -> str:
    """Return counts by reason as text."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))


def _repetition_lines(entry: Entry) -> list[str]:
    counted = entry.get("repetition", {})
    stages = counted if entry.get(OVERALL) else {"profile": counted}
    return [
        f"  {stage} texts: {one['distinct']:,} of {one['texts']:,} differ, the most frequent one "
        f"is there {one['most_frequent']:,} times"
        for stage, one in stages.items()
        if one and one["repeated"]
    ]


def _cost_lines(entry: Entry) -> list[str]:
    spent, model = entry["spent"], entry["llm"]
    lines = [
        f"  {spent['calls']:,} calls of {model['llm']} {model.get('revision') or ''}".rstrip()
        + f", {spent['prompt_tokens']:,} tokens read, {spent['generated_tokens']:,} written, "
        f"{spent['seconds']:,.0f} s, cost {spent['cost']:,.2f}"
    ]
    if entry["hidden_titles"]:
        lines.append(f"  {entry['hidden_titles']:,} quoted titles were hidden")
    if entry["unfinished"]:
        lines.append(
            f"  {entry['unfinished']:,} replies were cut at profile_max_tokens; a model that "
            "thinks before it answers needs llm_thinking_tokens as well"
        )
    return lines + failure_lines(entry, "them")
