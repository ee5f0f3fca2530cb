"""What every task and every loader must satisfy, for the tests of those who write them."""

from saeval.testing.cases import Case, lab_cases
from saeval.testing.loaders import check_loader
from saeval.testing.tasks import check_task

__all__ = ["Case", "check_loader", "check_task", "lab_cases"]
