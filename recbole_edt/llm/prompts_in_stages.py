"""Prompts of the method as its authors draw it: transfer between domains, groups, merging.

Titles, and replies about them, are quoted as in `recbole_edt.llm.prompts`. Every prompt holds a
worked example, without which a small model goes on listing items.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recbole_edt.llm.prompts import DATA_RULE, Filled, Quoting, Template, clean_title

_LONGEST_TEXT = 600

TRANSFER = Template(
    "transfer",
    1,
    f"You predict what a customer of a shop will like. {DATA_RULE}",
    "A customer takes items of several domains. From items that stand for the customer's taste in "
    "one domain, name items of another domain that the same customer would take. Answer with one "
    "short item title per line and nothing else.\n\n"
    "{examples}"
    "Items of this customer from the domain {source}:\n{history}\n"
    "At most {limit} other items, all from the domain {domain}:",
)
GROUP = Template(
    "group",
    1,
    f"You describe the taste of a customer of a shop. {DATA_RULE}",
    "Describe what a customer likes, from some items that the customer took in one domain: the "
    "kinds, brands, styles and purposes that these items have in common. One sentence, no list, no "
    "titles, nothing that the items do not show.\n\n"
    "Items from the domain garden:\n"
    '- "Hand Trowel, Ash Handle"\n- "Copper Watering Can 5 l"\n- "Leather Gardening Gloves M"\n'
    "The customer's preference in the domain garden: durable hand tools of natural materials for "
    "working in the garden.\n\n"
    "Items from the domain {domain}:\n{history}\n"
    "The customer's preference in the domain {domain}:",
)
MERGE = Template(
    "merge",
    1,
    f"You describe the taste of a customer of a shop. {DATA_RULE}",
    "Merge what is known of one customer into the customer's overall preference: first what recurs "
    "across groups and domains, then what is special to one of them. Two sentences at most, no "
    "list.\n\n"
    "Known of the customer:\n"
    '- garden: "durable hand tools of natural materials for working in the garden"\n'
    '- books: "practical guides to growing vegetables and to preserving them"\n'
    "The customer's overall preference: a practical gardener who likes tools and guides that last. "
    "In books, growing and preserving vegetables matters most.\n\n"
    "Known of the customer:\n{known}\n"
    "The customer's overall preference:",
)


@dataclass(frozen=True)
class Example:
    """What another user has in both domains, as an example in `TRANSFER`.

    Attributes
    ----------
    source_titles, titles : list of str
        Titles of the domain that is shown, and of the domain that is asked about.
    """

    source_titles: list[str]
    titles: list[str]


def fill_transfer(
    source: str, domain: str, history: Sequence[str], examples: Sequence[Example], limit: int
) -> Filled:
    """Fill `TRANSFER`: from titles of the domain `source` to at most `limit` of `domain`."""
    quoted = Quoting()
    source_name, name = clean_title(source)[0], clean_title(domain)[0]
    blocks = []
    for example in examples:
        answer = "\n".join(map(quoted, example.titles))
        blocks.append(
            f"Items of another customer from the domain {source_name}:\n"
            f"{quoted.listed(example.source_titles)}\n"
            f"At most {limit} other items, all from the domain {name}:\n{answer}\n\n"
        )
    return quoted.into(
        TRANSFER,
        examples="".join(blocks),
        source=source_name,
        domain=name,
        history=quoted.listed(history),
        limit=limit,
    )


def fill_group(domain: str, titles: Sequence[str]) -> Filled:
    """Fill `GROUP` with the titles of one group in one domain."""
    quoted = Quoting()
    return quoted.into(GROUP, domain=clean_title(domain)[0], history=quoted.listed(titles))


def fill_merge(texts: Sequence[tuple[str, str]]) -> Filled:
    """Fill `MERGE` with pairs of a domain and a text about one group in it."""
    quoted = Quoting(_LONGEST_TEXT)
    known = "\n".join(f"- {clean_title(domain)[0]}: {quoted(text)}" for domain, text in texts)
    return quoted.into(MERGE, known=known)
