"""How deep a scan looks, and how sure it has to be: three presets to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Depth:
    """How sure we have to be, from 0 to 1, and which of the deeper tiers are asked."""

    threshold: float = 0.50
    process_inspection: bool = True
    package_inspection: bool = False
    generic_ai: bool = True


PRESETS: Mapping[str, Depth] = {
    "enterprise-standard": Depth(),
    "high-security": Depth(threshold=0.30, package_inspection=True),
    "lightweight": Depth(threshold=0.65, process_inspection=False),
}
DEFAULT_PRESET = "enterprise-standard"
