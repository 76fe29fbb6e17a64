"""Training problems to try things on: data sets, small networks, and both together."""

from jasgd.problems.datasets import DATASETS, Dataset, load_dataset
from jasgd.problems.models import MODELS
from jasgd.problems.problem import Problem, load
from jasgd.problems.sources import DatasetError

__all__ = ["DATASETS", "MODELS", "Dataset", "DatasetError", "Problem", "load", "load_dataset"]
