"""Several processes, which stand for hosts, against one."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from silo_jax.cli import run
from tests.mlp_config import get_config
from tests.run_files import final_states, rows_of, without_times
from tests.tiny import assert_identical

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "tests/mlp_config.py"


def start(workdir, *arguments, devices=1, module="run"):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    settings = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", f"experiments.{module}", f"--config={CONFIG}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *arguments],
        cwd=ROOT,
        env=os.environ | settings | {"JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(workdir):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    together = (f"--coordinator={address}", "--num_processes=2")
    return [start(workdir, *together, f"--process_id={index}") for index in range(2)]


def finish(processes, status=0):
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == status, errors


def test_two_processes_stopped_by_one_and_resumed_are_one_with_two_devices(tmp_path):
    alone = [start(tmp_path / "alone", devices=2)]
    finish(alone)
    both = tmp_path / "both"
    processes = start_two(both)
    metrics = both / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") > 1):
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    finish(processes, 128 + signal.SIGTERM)
    assert metrics.read_text().count("\n") < 12
    finish(start_two(both))
    assert without_times(both) == without_times(tmp_path / "alone")
    config = get_config()
    config.devices.data = 1
    assert_identical(final_states(both, config), final_states(tmp_path / "alone", config))
    assert (both / "report.html").exists()


def test_hosts_that_share_a_search_over_their_devices_find_what_one_device_finds(tmp_path):
    """Two devices each; batches of 45, which are not split, need not divide by them."""
    search = ("--max_lrs=0.1,0.2", "--refinements=0", "--config.pruning.num_cycles=2")
    search += ("--config.seeds=0,1", "--config.training.batch_size=45", "--quiet")
    shares = [f"--cells={number}/2" for number in (1, 2)]
    spread = (*search, "--strategy=shard", "--wait=200")
    start_share = partial(start, tmp_path / "hosts", *spread, devices=2, module="oracle")
    finish([start_share(share) for share in shares])
    finish([start(tmp_path / "alone", *search, "--strategy=map", module="oracle")])
    for name in ("grid.csv", "choices.csv", "silo.csv"):
        found, expected = (rows_of(tmp_path / one / name) for one in ("hosts", "alone"))
        for row in (*found, *expected):
            row.pop("seconds", None)
        assert found == expected
        assert found


@pytest.mark.filterwarnings("ignore:the load_module.*:DeprecationWarning")  # of ml_collections
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--process_id=1"], "error: --coordinator: missing; allowed: --coordinator, "),
        (["--distributed", "--process_id=1"], "error: --distributed: given; allowed: without "),
        (
            ["--coordinator=a:1", "--num_processes=2", "--process_id=2"],
            "error: --process_id: 2; allowed: below the 2 of --num_processes",
        ),
        (["--distributed", "--fork=old"], "error: --fork: old; allowed: with a single process"),
        (["--distributed", "--num_processes=0"], "error: --num_processes: 0; allowed: at least 1"),
    ],
)
def test_processes_that_cannot_find_each_other_are_refused(capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as end:
        run.main(["run", f"--config={CONFIG}", f"--workdir={tmp_path}", *arguments])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
