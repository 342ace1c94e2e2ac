"""Orders, rewards and logs in the trainers of others; none of them is imported before it is used."""

from hammerlib.adapters.files import TRAINERS, hand_over
from hammerlib.adapters.findings import audit
from hammerlib.adapters.logs import read_log

__all__ = ["TRAINERS", "audit", "hand_over", "read_log"]
