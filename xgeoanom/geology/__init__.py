"""What is known of the ground: deposits and background."""

from xgeoanom.geology.labels import check_labels, deposit_ids, draw_background, label_deposits

__all__ = ["check_labels", "deposit_ids", "draw_background", "label_deposits"]
