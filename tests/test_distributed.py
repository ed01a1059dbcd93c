"""Claims about several processes: what carries their messages, and who decides."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from remint.training import distributed

SCRIPT = """
import json, torch
from remint.training.distributed import *
with process_group():
    decision = decided_by_first(lambda: f"rank {rank()} saw a collapse")
    device = torch.device("cpu")
    figures = average_values({"real_sign": float(rank())}, device)
    print(json.dumps([decision, figures, all_equal(rank(), device), all_equal(7, device)]))
"""


def test_two_processes_take_the_first_one_s_decision_and_share_figures() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    said = [json.loads(process.communicate()[0]) for process in processes]
    assert said == [["rank 0 saw a collapse", {"real_sign": 0.5}, False, True]] * 2


def test_training_on_the_cpu_of_a_gpu_machine_has_a_carrier() -> None:
    assert distributed.backends(gpu=True) == "cpu:gloo,cuda:nccl"


def test_a_process_alone_decides_for_itself() -> None:
    assert distributed.decided_by_first(lambda: "mine") == "mine"


def test_a_process_that_fails_leaves_without_waiting_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[bool] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: left.append(True))
    with pytest.raises(OSError), distributed.process_group():
        raise OSError("the disk is full")
    assert not left
    with distributed.process_group():
        pass
    assert left
