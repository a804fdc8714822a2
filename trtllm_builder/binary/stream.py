"""What the readers ask of a file: open files, io.BytesIO and a packed member that is unpacked again on demand."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """Binary and seekable. ``read`` gives fewer bytes than asked for only at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...
