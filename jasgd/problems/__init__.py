"""Training problems to try things on: images classified by small networks.

``load`` gives a problem of a data set and a model. Data sets are looked for (locations), downloaded (sources) and read
(files, contents, formats, arrays) by their checksums, or, from a folder of the user's (local_datasets), by their form;
models are functions of JAX alone, LeNet's with convolutions that suit CPUs.
"""

from jasgd.problems.datasets import DATASETS, Dataset, load_dataset
from jasgd.problems.local_datasets import LOCAL_DATASETS
from jasgd.problems.models import MODELS
from jasgd.problems.problem import Problem, load
from jasgd.problems.sources import DatasetError

__all__ = ["DATASETS", "LOCAL_DATASETS", "MODELS", "Dataset", "DatasetError", "Problem", "load", "load_dataset"]
