"""Orders, rewards and logs in the trainers of others; none of them is imported before it is used."""

from hammerlib.adapters.files import TRAINERS, HandOver, hand_over
from hammerlib.adapters.findings import Audit, audit
from hammerlib.adapters.logs import Log, Trained, read_log

__all__ = ["TRAINERS", "Audit", "HandOver", "Log", "Trained", "audit", "hand_over", "read_log"]
