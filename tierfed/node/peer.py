"""Peer: a child, the parent or the driver as it is connected.

    control and bulk link of one epoch      it is up
    one of the two                          it is coming, or about to be dropped
    none                                    `why_not` says why

The two come and go together: when one is lost, `drop` closes the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tierfed.errors import TierfedError
from tierfed.node.link import Link
from tierfed.node.programs import Deployed


@dataclass(slots=True)
class Peer:
    """See the module docstring; `deployed` are the programs that it has from us."""

    name: str
    epoch: int = -1
    bulk: Link | None = None
    control: Link | None = None
    why_not: str = "never connected"
    deployed: Deployed = field(default_factory=Deployed)

    @property
    def up(self) -> bool:
        """Whether both links are there."""
        return self.bulk is not None and self.control is not None

    @property
    def absence(self) -> str:
        """Why it is not up."""
        return "it is dialling" if self.bulk is not None or self.control is not None else self.why_not

    def post(self, header: dict[str, Any]) -> None:
        """Post a small frame on the control link, if there is one."""
        if self.control is not None:
            self.control.post(header)

    def drop(self, why: str, error: TierfedError | None = None) -> None:
        """Close both links, giving `error` as the reason; that they are closed is no news then."""
        links, self.bulk, self.control, self.why_not = (self.bulk, self.control), None, None, why
        self.deployed = Deployed()  # whoever comes next may be another process
        for link in links:
            if link is not None:
                link.close(error)
