"""Placements, the hierarchy that orders them, and trees of their members."""

from tierfed.placements.hierarchy import Hierarchy, as_placement
from tierfed.placements.placement import CLIENTS, SERVER, Placement, placement
from tierfed.placements.tree import Member, Tree

__all__ = ["CLIENTS", "SERVER", "Hierarchy", "Member", "Placement", "Tree", "as_placement", "placement"]
