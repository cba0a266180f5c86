"""Checkpoints that cannot be written: an OSError in one line, and what was there stays sound."""

import os
import resource
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import jax.numpy as jnp
import pytest

from silo_jax import checkpoint
from silo_jax.checkpoint import Checkpoints
from tests.tiny import WithStatistics, assert_identical, tiny_recipe, tiny_state

LIKE = tiny_state(tiny_recipe("adamw", model=WithStatistics()))


def state_at(step):
    return tiny_state(tiny_recipe("adamw", model=WithStatistics()), seed=step).replace(
        step=jnp.int32(step)
    )


def opened(directory):
    return closing(Checkpoints(directory, steps_per_cycle=100))


def cannot_be_written(directory, cause):
    return pytest.raises(OSError, match=rf"^{directory}: checkpoints cannot be written: {cause}\Z")


def fail_in_the_background(patch):
    """Makes every save fail after orbax's thread has written the state."""

    def fill(directory):
        raise OSError(28, "No space left on device")

    patch.setattr(checkpoint, "write_checksums", fill)


FULL = r"\[Errno 28\] No space left on device"


def test_what_fails_in_the_background_is_raised_by_the_next_save(tmp_path, monkeypatch):
    with opened(tmp_path) as checkpoints:
        checkpoints.save(state_at(1))
        checkpoints.save(state_at(2))
        checkpoints._states.wait_until_finished()
        with monkeypatch.context() as patch:
            fail_in_the_background(patch)
            checkpoints.save(state_at(3))
            with cannot_be_written(tmp_path, FULL):
                checkpoints.save(state_at(4))
        assert_identical(checkpoints.restore(LIKE), state_at(2))
    assert_goes_on(tmp_path, newest=2)


def test_what_fails_in_the_background_is_raised_by_close(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, steps_per_cycle=100)
    checkpoints.save(state_at(1))
    checkpoints._states.wait_until_finished()
    with monkeypatch.context() as patch:
        fail_in_the_background(patch)
        checkpoints.save(state_at(2))
        with cannot_be_written(tmp_path, FULL):
            checkpoints.close()
    assert_goes_on(tmp_path, newest=1)


def test_a_rewind_point_that_cannot_be_written_is_not_there(tmp_path, monkeypatch):
    with opened(tmp_path) as checkpoints, monkeypatch.context() as patch:
        fail_in_the_background(patch)
        with cannot_be_written(tmp_path, FULL):
            checkpoints.save_rewind_point(state_at(1))
    with opened(tmp_path) as checkpoints:
        with pytest.raises(FileNotFoundError):
            checkpoints.restore_rewind_point(LIKE)
        checkpoints.save_rewind_point(state_at(1))
        assert_identical(checkpoints.restore_rewind_point(LIKE).params, state_at(1).params)


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "states").write_text("")
    with cannot_be_written(tmp_path, r"\[Errno 17\] File exists: .*"):
        Checkpoints(tmp_path, steps_per_cycle=100)


def assert_goes_on(directory, newest):
    """The newest state is sound, and the step after it can be saved."""
    with opened(directory) as checkpoints:
        assert checkpoints.latest_step() == newest
        assert_identical(checkpoints.restore(LIKE), state_at(newest))
        checkpoints.save(state_at(newest + 1))
    with opened(directory) as checkpoints:
        assert_identical(checkpoints.restore(LIKE), state_at(newest + 1))


def limit_the_size_of_files(states):
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))


def take_permission_away(states):
    states.chmod(0o555)
    if os.getuid() == 0:
        os.setuid(65534)  # permissions do not stop root


def save_before_and_after(fault, directory):
    """In a process of its own: the second state is larger than the limit on files."""
    large = state_at(2).replace(peaks=jnp.sin(jnp.arange(100_000.0)))
    with opened(directory) as checkpoints:
        checkpoints.save(state_at(1))
        checkpoints._states.wait_until_finished()
        for path in [directory, *directory.rglob("*")]:
            path.chmod(0o777)
        fault(directory / "states")
        checkpoints.save(large)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (limit_the_size_of_files, "File too large"),
        (take_permission_away, "[Errno 13] Permission denied"),
    ],
)
def test_a_process_that_cannot_write_ends_by_itself_and_the_next_one_goes_on(fault, cause):
    with tempfile.TemporaryDirectory() as parent:  # tmp_path is for its owner only
        Path(parent).chmod(0o777)
        directory = Path(parent) / "checkpoints"
        result = subprocess.run(
            [sys.executable, "-m", "tests.test_checkpoint_faults", fault.__name__, directory],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert result.returncode == 1, result.stderr
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("OSError: ")]
        assert line.startswith(f"OSError: {directory}: checkpoints cannot be written: ")
        assert cause in line
        (directory / "states").chmod(0o777)
        assert_goes_on(directory, newest=1)


if __name__ == "__main__":
    save_before_and_after(globals()[sys.argv[1]], Path(sys.argv[2]))
