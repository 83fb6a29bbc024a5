"""Doctor: checks that find ineffective or harmful configuration on a live collection."""

from qadapt.diagnosis.catalogue import Check, checks
from qadapt.diagnosis.doctor import Diagnosis, Skipped, diagnose

__all__ = ["Check", "Diagnosis", "Skipped", "checks", "diagnose"]
