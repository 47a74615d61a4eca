"""What the paper says: its costs, its settings, and what it took them to an accuracy of 0.85 on MNIST.

    385.9 s at kappa_1 60, kappa_2 1, edge-IID = 138 cloud rounds of 60 T_comp + 1 T_comm + 10 T_comm

Costs and times are those of Liu et al. 2020, arXiv:1905.06641, section IV.  Divided by what a round takes, each time is
a whole number of rounds to 0.02, and these are the rounds here.  Energies are recomputed: those rounds times what one
costs a client, 60 E_comp + kappa_2 E_comm.  The times of (30, 2) and (15, 4) are such rounds times a round's seconds:
the ends are to be quoted from here, the middle from the paper's table.
"""

from __future__ import annotations

from dataclasses import dataclass

T_COMP, T_COMM, E_COMP, E_COMM = 0.024, 0.1233, 0.0024, 0.0616  # seconds, seconds, joules, joules
CLOUD = 10  # T_comm from an edge to the cloud


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, and the seconds that the paper has for it."""

    split: str
    kappa_1: int
    kappa_2: int
    seconds: float

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.split}/{self.kappa_1}x{self.kappa_2}"

    @property
    def round_seconds(self) -> float:
        """The seconds of a cloud round."""
        return self.kappa_2 * (self.kappa_1 * T_COMP + T_COMM) + CLOUD * T_COMM

    @property
    def round_joules(self) -> float:
        """The joules of a client in a cloud round."""
        return self.kappa_2 * (self.kappa_1 * E_COMP + E_COMM)

    @property
    def rounds(self) -> int:
        """The cloud rounds that the paper's seconds are."""
        return round(self.seconds / self.round_seconds)

    @property
    def joules(self) -> float:
        """The joules of a client over those rounds."""
        return self.rounds * self.round_joules


KAPPAS = ((60, 1), (30, 2), (15, 4), (6, 10))
SECONDS = {"edge-iid": (385.9, 251.1, 177.3, 97.7), "edge-noniid": (405.5, 312.4, 218.5, 148.4)}
SETTINGS = tuple(
    Setting(split, *kappas, seconds)
    for split, all_seconds in SECONDS.items()
    for kappas, seconds in zip(KAPPAS, all_seconds, strict=True)
)
