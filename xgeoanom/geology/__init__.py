"""What is known of the ground: deposits and background, faults and how deposits thin out."""

from xgeoanom.geology.background import background_distance
from xgeoanom.geology.density_law import DensityLaw, density_law
from xgeoanom.geology.deposit_centres import deposit_centres
from xgeoanom.geology.evidence import distance_to, fault_density, hanging_wall
from xgeoanom.geology.evidence_stack import evidence_stack
from xgeoanom.geology.labels import check_labels, deposit_ids, draw_background, label_deposits

__all__ = [
    "DensityLaw",
    "background_distance",
    "check_labels",
    "density_law",
    "deposit_centres",
    "deposit_ids",
    "distance_to",
    "draw_background",
    "evidence_stack",
    "fault_density",
    "hanging_wall",
    "label_deposits",
]
