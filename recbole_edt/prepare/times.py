"""Times of a raw table as seconds: numbers, ISO dates, or a given format."""

import duckdb

from recbole_edt.errors import UserError
from recbole_edt.prepare.engine import Engine, first_line, literal

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units of a time that is a number, and how many of them make a second."""

_LATEST = 1e11  # seconds: the year 5138
_ISO = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z| UTC|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
_ISO_EXAMPLE = "2024-01-31 or 2024-01-31T10:15:00+02:00"
_DAY = "(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
_CLOCK = "([01][0-9]|2[0-3])[0-5][0-9]"
_RUN_TOGETHER = (
    (f"{_DAY}{_CLOCK}[0-5][0-9][0-9]{{6}}", "%Y%m%d%H%M%S%f"),
    (f"{_DAY}{_CLOCK}[0-5][0-9][0-9]{{3}}", "%Y%m%d%H%M%S%g"),
    (f"{_DAY}{_CLOCK}[0-5][0-9]", "%Y%m%d%H%M%S"),
    (f"{_DAY}{_CLOCK}", "%Y%m%d%H%M"),
)
"""Dates written as one number beyond `_LATEST`, and the formats that read them."""


class TimeFormat:
    """How the texts of one column are read as seconds since 1970 (UTC), or as positions.

    Parameters
    ----------
    given : str or None
        One of `UNITS`, or a format of strptime such as ``%d.%m.%Y %H:%M``. None reads numbers as
        seconds, or dates when the first row is an ISO date.
    positions : bool
        Whether the column holds positions: any numbers.

    Attributes
    ----------
    given : str or None
        As above.

    Raises
    ------
    UserError
        When `given` is neither, or is given for positions.
    """

    def __init__(self, given: str | None, positions: bool = False) -> None:
        if given is not None and positions:
            raise UserError("time_format: is for times; the rows are ordered by positions")
        if given is not None and given not in UNITS and "%" not in given:
            raise UserError(
                f"time_format: found '{given}'; expected one of {', '.join(UNITS)} or a format "
                "such as %d.%m.%Y %H:%M"
            )
        self.given, self._positions = given, positions
        self._iso = False

    def expression(self, engine: Engine, table: str, column: str) -> str:
        """Return the SQL that turns a text of a table into seconds, NULL where it is none.

        Raises
        ------
        UserError
            For a format that the engine does not know.
        """
        if self.given is not None and self.given not in UNITS:
            parsed = f"try_strptime({column}, {literal(self.given)})"
            try:
                engine.db.execute(f"SELECT {parsed} FROM (SELECT '' AS {column})").fetchall()
            except duckdb.Error as error:
                raise UserError(f"time_format: {first_line(error)}") from None
            return f"epoch({parsed})"
        if self.given is None and not self._positions:
            query = f"SELECT regexp_full_match({column}, {literal(_ISO)}) FROM {table} LIMIT 1"
            self._iso = any(row[0] for row in engine.rows(query))
        if self._iso:
            return (
                f"CASE WHEN regexp_full_match({column}, {literal(_ISO)}) "
                f"THEN epoch(try_cast({column} AS TIMESTAMPTZ)) END"
            )
        number = (
            f"CASE WHEN contains({column}, '_') THEN NULL ELSE try_cast({column} AS DOUBLE) END"
        )
        ticks = UNITS.get(self.given or "s", 1)
        return number if ticks == 1 else f"({number}) / {ticks}::DOUBLE"

    def late(self, time: str) -> str:
        """Return the condition of SQL under which seconds are beyond all dates."""
        return "FALSE" if self._positions else f"abs({time}) > {_LATEST!r}"

    @property
    def expected(self) -> str:
        """What a cell must be, for a complaint about one that is not."""
        if self._iso:
            return f"expected a date as in the first row, such as {_ISO_EXAMPLE}"
        if self._positions or self.given in UNITS:
            return "expected a number"
        if self.given is not None:
            return f"expected the format '{self.given}' of --time_format"
        return (
            f"expected a number, such as seconds (or in all rows a date, such as {_ISO_EXAMPLE}; "
            "--time_format=FORMAT reads others)"
        )

    def complaint_of_late(self, engine: Engine, text: str) -> str:
        """Return what a number beyond all dates looks like, and the flag that reads it."""
        given = f" of --time_format={self.given}" if self.given else ""
        for pattern, form in _RUN_TOGETHER:
            query = f"SELECT regexp_full_match({literal(text)}, {literal(pattern)})"
            if engine.row(query)[0]:
                return self._way_out("a date", form)
        try:
            size = abs(float(text))
        except ValueError:
            return f"expected a date before the year 5138{given}"
        units = {1e14: ("milliseconds", "ms"), 1e17: ("microseconds", "us")}
        look, unit = next(
            (name for end, name in units.items() if size < end), ("nanoseconds", "ns")
        )
        if self.given == unit:
            return f"expected a date before the year 5138{given}"
        return self._way_out(look, unit)

    def _way_out(self, look: str, form: str) -> str:
        return (
            f"expected seconds since 1970, and this looks like {look}; --time_format={form} "
            "reads it"
        )

    def refuse_days(self, engine: Engine, texts: str, times: str, column: str) -> str | None:
        """Return a complaint when every number is a day written as YYYYMMDD, else None.

        Such numbers would be seconds of August 1970.
        """
        if self.given is not None or self._positions or self._iso:
            return None
        first, last = engine.row(f"SELECT min(time), max(time) FROM {times}")
        if first < 19000101 or last > 20991231:
            return None
        days = f"regexp_full_match({column}, {literal(_DAY)})"
        if not engine.row(f"SELECT bool_and({days}) FROM {texts}")[0]:
            return None
        return (
            "expected seconds since 1970, and every row looks like a date; --time_format=%Y%m%d "
            "reads it as one, --time_format=s as seconds"
        )
