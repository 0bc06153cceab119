import pytest

from recbole_edt.cli.arguments import ArgumentParser, count, truth
from recbole_edt.errors import UserError


@pytest.fixture
def parser() -> ArgumentParser:
    main = ArgumentParser(prog="edt")
    nested = main.add_subparsers(dest="command", required=True).add_parser("make")
    nested.add_argument("--min_size", type=count, default=0)
    nested.add_argument("--strict", nargs="?", const=True, type=truth, default=False)
    nested.add_argument("--mode", choices=("fast", "slow"))
    return main


@pytest.mark.parametrize(
    "argv", [["--min_size=3", "--strict"], ["--min_size", "3", "--strict=True"]]
)
def test_value_with_equals_sign_or_blank(parser, argv):
    parsed = parser.parse_args(["make", *argv])
    assert (parsed.min_size, parsed.strict) == (3, True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["make", "--min_sise=3"],
            "edt make: unknown flag '--min_sise' (did you mean '--min_size'?)",
        ),
        (["make", "--min=3"], "edt make: unknown flag '--min'"),
        (["make", "extra"], "edt make: unknown argument 'extra'"),
        (
            ["make", "--mode=fsat"],
            "'fsat' is unknown; expected one of fast, slow (did you mean 'fast'?)",
        ),
        (["mak"], "'mak' is unknown; expected one of make (did you mean 'make'?)"),
        (["make", "--min_size=-1"], "'-1' is not a whole number of 0 or more"),
        (["make", "--strict=maybe"], "'maybe' is neither true nor false"),
    ],
)
def test_complaints_are_one_line_with_the_nearest_choice(parser, argv, message):
    with pytest.raises(UserError) as caught:
        parser.parse_args(argv)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
