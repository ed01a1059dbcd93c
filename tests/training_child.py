"""A training of test_training in a process of its own: python -m tests.training_child DATA OUT."""

import sys
from pathlib import Path

from remint.training.distributed import process_group
from tests.test_training import CONFIG, train

if __name__ == "__main__":
    with process_group():
        train(CONFIG, *map(Path, sys.argv[1:]))
