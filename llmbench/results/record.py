"""A record that is a file of a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmbench.system import decoding


class FileRecord(Mapping[str, Any]):  # noqa: PLW1641 - it can change
    """A record that is also the mapping that its file holds, so that programs written for llmbench 0.1 read it by its names."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Returns plain data under the names of the file."""
        found: dict[str, Any] = decoding.plain(self)
        return found

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
        return self.as_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FileRecord):
            return self.as_dict() == other.as_dict()
        return self.as_dict() == dict(other) if isinstance(other, Mapping) else NotImplemented
