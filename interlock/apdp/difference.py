"""What changed between two folders of policies, policy by policy; layout does not count."""

from dataclasses import dataclass
from pathlib import Path

from interlock.apdp.policies import load_policies


@dataclass(frozen=True, slots=True)
class Change:
    """One policy before and after, as Cedar text; empty where it does not exist."""

    id: str
    before: str
    after: str

    @property
    def kind(self) -> str:
        """One of `added`, `removed` and `changed`."""
        if not self.before:
            return "added"
        return "changed" if self.after else "removed"


def changes(before: Path, after: Path) -> tuple[Change, ...]:
    """List what differs, by policy id; raises PolicyError for a folder that does not load."""
    old, new = _texts(before), _texts(after)
    both = ((id_, old.get(id_, ""), new.get(id_, "")) for id_ in sorted(old | new))
    return tuple(Change(*each) for each in both if each[1] != each[2])


def _texts(folder: Path) -> dict[str, str]:
    """Every policy in the engine's own layout by id, those that are only observed included."""
    policies = load_policies(folder, observed=True)
    return {id_: policies.text(id_) for id_ in policies.by_id}
