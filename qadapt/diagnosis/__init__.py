"""Doctor: what silently has no effect or hurts, looked for on a live collection."""

from qadapt.diagnosis.catalogue import CHECKS, Check
from qadapt.diagnosis.doctor import Diagnosis, Skipped, diagnose

__all__ = ["CHECKS", "Check", "Diagnosis", "Skipped", "diagnose"]
