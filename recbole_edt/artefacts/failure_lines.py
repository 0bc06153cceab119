"""Questions of a part that the same command asks again, in words."""

from recbole_edt.artefacts.store import Entry


def failure_lines(entry: Entry, again: str) -> list[str]:
    """Return a line about cut thoughts and one about other failures, as far as there are any.

    Parameters
    ----------
    entry : dict
        The manifest's entry; its ``failed`` counts cut thoughts too.
    again : str
        Which questions the same command asks, such as ``them``.
    """
    lines, cut_thoughts = [], entry.get("cut_thoughts", 0)
    if cut_thoughts:
        lines.append(
            f"  {cut_thoughts:,} replies ended inside a thought; "
            "with a larger llm_thinking_tokens the same command asks only those again"
        )
    failed = entry.get("failed", 0) - cut_thoughts
    if failed > 0:
        lines.append(f"  {failed:,} questions failed; the same command asks {again} again")
    return lines
