"""Doctor: what silently has no effect or hurts, looked for on a live collection."""

from qadapt.diagnosis.catalogue import Check, checks
from qadapt.diagnosis.doctor import Diagnosis, Skipped, diagnose

__all__ = ["Check", "Diagnosis", "Skipped", "checks", "diagnose"]
