"""Whether a file is the one that a store was built from, without reading it where possible."""

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# A file system's clock may tick this slowly, so that a change right after a check can leave the
# times as they were. A stamp that young proves nothing.
_SLOWEST_TICK = 2_000_000_000  # nanoseconds, as of FAT


@dataclass(frozen=True)
class FileStamp:
    """Size and times of a file at the moment when its content was hashed.

    Attributes
    ----------
    size : int
        Bytes.
    mtime_ns, ctime_ns : int
        Last change of the content, and of anything about the file (on Windows: its creation).
    checked_ns : int
        When the stamp was taken. All times are nanoseconds since 1970.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    checked_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """Return the stamp of a file, now."""
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, time.time_ns())

    @classmethod
    def from_json(cls, value: Any) -> "FileStamp":
        """Return a stamp that `to_json` made; `TypeError` or `KeyError` for anything else."""
        return cls(**{name: int(value[name]) for name in cls.__dataclass_fields__})

    def to_json(self) -> dict[str, int]:
        """Return the stamp as plain values."""
        return asdict(self)

    def is_same_file(self, now: "FileStamp") -> bool:
        """Return whether size and times are those of `now`."""
        return (self.size, self.mtime_ns, self.ctime_ns) == (now.size, now.mtime_ns, now.ctime_ns)

    def has_content_of(self, now: "FileStamp") -> bool:
        """Return whether size and time of the content are those of `now`, as after a rename."""
        return (self.size, self.mtime_ns) == (now.size, now.mtime_ns)

    def proves(self, now: "FileStamp") -> bool:
        """Return whether a file with the stamp `now` still has the content of this stamp.

        False where only the content can decide: after a change of the times (a copy, ``touch``),
        and when this stamp was taken within the clock's tick of the last change.
        """
        settled = self.checked_ns - max(self.mtime_ns, self.ctime_ns) > _SLOWEST_TICK
        return settled and self.is_same_file(now)
