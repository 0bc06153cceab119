"""YAML files and the values of flags, read safely and as RecBole reads numbers."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from recbole_edt.config.schema import RULES
from recbole_edt.errors import UserError, one_line
from recbole_edt.paths import properties_dir

_NAMES = ("model", "models", "dataset", "datasets")
_NULLS = ("None", "null", "Null", "NULL", "~")
_TAG = "tag:yaml.org,2002:"


# The parser in C, which PyYAML's wheels have, is ten times as fast.
class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML that reads 1e-3 as a number, as RecBole's loader does."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.\d*)?[eE][-+]?\d+$|^[-+]?\d+\.\d*$|^[-+]?\.\d+$"),
    list("-+0123456789."),
)
# A revision such as 2024-05-13 stays text; SafeLoader would make a date of it.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}


def is_text_key(key: str) -> bool:
    """Return whether the values of a key are text, whatever they look like."""
    return key in _NAMES or (key in RULES and RULES[key].is_text)


def parse_flag(key: str, text: str) -> Any:
    """Read the value of ``--key=value``: letter by letter for a key that is text, else as YAML.

    Quotes around a text are read as YAML's.

    Raises
    ------
    UserError
        For a mapping or list that is not YAML, which would be taken for a text.
    """
    if not is_text_key(key) or not text or text[0] in "'\"":
        value = parse_value(text)
        if value == text and text[0] in "{[" and key in RULES:
            raise UserError(
                f"{key}: {text!r} is no YAML; expected brackets in pairs and a blank after each "
                "colon, such as {a: 1, b: [2, 3]}"
            )
        return value
    if text in _NULLS and key in RULES and RULES[key].may_be_empty:
        return None
    return text


def parse_value(text: str) -> Any:
    """Read the value of a flag as YAML.

    ``None`` means null, as in RecBole. Braces without a colon are text, such as ``{title}``, which
    YAML would take for a mapping.
    """
    if text.startswith("{") and ":" not in text:
        return text
    try:
        return None if text == "None" else yaml.load(text, Loader)
    except yaml.YAMLError:
        return text


def split_paths(text: str) -> list[str]:
    """Split the value of the flag ``config_files``, such as ``a.yaml b.yaml``.

    A path with blanks is written in quotes; without them it is found where it is a file.

    Raises
    ------
    UserError
        For a quote that is not closed, and for a path that is no file where another reading of
        the blanks would be possible.
    """
    if os.sep != "\\" and {*text} & {*"'\""}:  # a backslash is no escape in a path of Windows
        try:
            return [_shipped(path) for path in shlex.split(text)]
        except ValueError as error:
            raise UserError(f"config_files: {error}; found {text!r}") from None
    words, paths = text.split(" "), []
    while words:
        ends = range(len(words), 0, -1)
        end = next((n for n in ends if Path(" ".join(words[:n])).is_file()), 1)
        paths.append(" ".join(words[:end]))
        words = words[end:]
    paths = [_shipped(path) for path in paths if path]
    missing = [path for path in paths if not Path(path).is_file()]
    if missing and len(paths) > 1:
        raise UserError(
            f"config_files: no file {missing[0]!r}; found {text!r}, expected paths with a blank "
            "between them, and quotes around one that has blanks itself"
        )
    return paths


def _shipped(path: str) -> str:
    """Return a path, or that of the shipped example that it names, such as ``llm/openai.yaml``."""
    shipped = properties_dir() / path
    is_named = path.startswith("llm/") and not Path(path).is_file() and shipped.is_file()
    return str(shipped) if is_named else path


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises
    ------
    UserError
        When the file is missing, is not YAML or does not hold a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = _load(text)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = one_line(error).replace('in "<unicode string>", ', "")
        raise UserError(f"{path}: not valid YAML ({reason})") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected lines 'key: value'")
    for key in content:
        if not isinstance(key, str):
            raise UserError(f"{path}: found the key {key!r}, expected a name")
    return content


def _load(text: str) -> Any:
    """Load YAML; plain values of keys that are text, and of lists there, stay as written."""
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if is_text_key(str(key.value)):
                    _keep_text(value)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _keep_text(node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _keep_text(one)
    elif isinstance(node, yaml.ScalarNode) and node.tag in {
        f"{_TAG}{kind}" for kind in ("int", "float", "bool")
    }:
        node.tag = f"{_TAG}str"


def load_if_present(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, an empty one when there is no such file."""
    return load_yaml(path) if path.is_file() else {}
