"""A job's config as its training function reads it: by attribute or key, and it knows what was never read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mnist_resnet.config.build import build


class ReadConfig(Mapping[str, Any]):
    """A node of a resolved config; `config.optim.lr` and `config["optim"]["lr"]` are the same.

    Args:
        content: The node, in plain Python types.
        path: Its dotted key, with a dot at the end.
    """

    def __init__(self, content: Mapping[str, Any], path: str = "") -> None:
        self._content, self._path = content, path
        self._nodes = {
            key: ReadConfig(value, f"{path}{key}.") for key, value in content.items() if isinstance(value, dict)
        }
        self._read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._nodes.get(key, self._content[key])

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):  # asked for by pickle and copy, too, before there is any content
            raise AttributeError(key)
        if key not in self._content:
            known = ", ".join(map(str, self._content))
            raise AttributeError(f"the config has no key {self._path}{key}; there are {known}")
        return self[key]

    def __setattr__(self, key: str, value: Any) -> None:
        if not key.startswith("_"):
            raise AttributeError(f"the config is the job's record: {self._path}{key} can't be set")
        super().__setattr__(key, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return f"{self._content}"

    def as_dict(self) -> dict[str, Any]:
        """Return the node in plain Python types; all of it counts as read."""
        self._read_all()
        return dict(self._content)

    def build(self, **arguments: Any) -> Any:
        """Build the object that the node's `_target_` and further keys describe, with Hydra's `instantiate`.

        Args:
            arguments: Added to those in the node.

        Raises:
            UsageError: The node names a target that this process may not call.
        """
        return build(self.as_dict() | arguments)

    def unread(self, ignored: Sequence[str] = ()) -> list[str]:
        """Return the dotted keys below this node that were never read, without the `ignored` ones at its top."""
        found = []
        for key in self._content:
            if key in ignored:
                continue
            if key in self._nodes:
                found += self._nodes[key].unread() if self._nodes[key] else []
            elif key not in self._read:
                found.append(f"{self._path}{key}")
        return found

    def _read_all(self) -> None:
        self._read.update(self._content)
        for node in self._nodes.values():
            node._read_all()
