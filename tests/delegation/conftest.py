"""Time limits of hypothesis are for machines that do nothing else."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
