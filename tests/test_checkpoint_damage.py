"""Damage to a checkpoint is found, named and got round; what is read back is what was saved."""

import re
import shutil
from contextlib import closing

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silo_jax import checksums
from silo_jax.checkpoint import Checkpoints, DamagedCheckpointError
from silo_jax.rewinding import RewindPoint
from tests.tiny import WithStatistics, assert_identical, tiny_recipe, tiny_state

RECIPE = tiny_recipe("adamw", model=WithStatistics())
LIKE = tiny_state(RECIPE)
STATES = {step: tiny_state(RECIPE, seed=step).replace(step=jnp.int32(step)) for step in (1, 2, 3)}


def opened(directory):
    return closing(Checkpoints(directory, steps_per_cycle=100, keep=3))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A directory with three states and a rewind point; the tests damage copies of it."""
    directory = tmp_path_factory.mktemp("checkpoints") / "sound"
    with opened(directory) as checkpoints:
        checkpoints.save_rewind_point(STATES[1])
        for state in STATES.values():
            checkpoints.save(state)
    return directory


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "copy")


def files_of(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def contents(directory):
    return {path: path.read_bytes() for path in files_of(directory)}


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path, position=0.5, bit=0):
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "truncated": halve,
    "empty": empty,
    "flipped": flip,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_any_file_of_the_state_is_found_and_the_file_named(copy, damage):
    files = [path for path in files_of(copy / "states/3/state") if "commit" not in path.name]
    assert len(files) >= 6
    with opened(copy) as checkpoints:
        for path in files:
            content = path.read_bytes()
            DAMAGE[damage](path)
            with pytest.raises(DamagedCheckpointError, match=r"^[^\n]+\Z") as caught:
                checkpoints.restore(LIKE, 3)
            name = str(path.relative_to(copy / "states/3/state"))
            if name != "checksums.json" or damage != "flipped":
                what = "missing" if damage == "missing" else "damaged"
                assert str(caught.value) == f"checkpoint {copy}/states/3: {name} is {what}"
            path.write_bytes(content)
        assert_identical(checkpoints.restore(LIKE, 3), STATES[3])


@given(st.data())
@settings(max_examples=25, derandomize=True, deadline=None)
def test_one_flipped_bit_anywhere_never_gives_a_state_that_was_not_saved(
    sound, tmp_path_factory, data
):
    copy = shutil.copytree(sound, tmp_path_factory.mktemp("flipped") / "copy")
    path = data.draw(st.sampled_from(files_of(copy / "states/3")))
    flip(path, data.draw(st.floats(0, 1, exclude_max=True)), data.draw(st.integers(0, 7)))
    with opened(copy) as checkpoints:
        try:
            restored = checkpoints.restore(LIKE, 3)
        except DamagedCheckpointError:
            restored = STATES[3]
    assert_identical(restored, STATES[3])


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_state_before_a_damaged_one_is_used_and_the_lost_step_can_be_saved_again(copy, damage):
    DAMAGE[damage](copy / "states/3/state/manifest.ocdbt")
    damaged = contents(copy / "states/3")
    with opened(copy) as checkpoints:
        with pytest.warns(match=r"states/3: manifest.ocdbt is .* step 2 is used"):
            assert_identical(checkpoints.restore(LIKE), STATES[2])
        assert checkpoints.latest_step() == 2
        checkpoints.save(STATES[3])
    with opened(copy) as checkpoints:
        assert_identical(checkpoints.restore(LIKE), STATES[3])
    (aside,) = (copy / "damaged").iterdir()
    assert [*contents(aside).values()] == [*damaged.values()]


@pytest.mark.parametrize("lost", ["states/3/state", "states/3", "states/2", "states/1"])
def test_directories_may_be_lost(copy, lost):
    shutil.rmtree(copy / lost)
    if lost == "states/3/state":
        with opened(copy) as checkpoints, pytest.warns(match="checksums.json is miss"):
            assert_identical(checkpoints.restore(LIKE), STATES[2])
    else:
        newest = 2 if lost == "states/3" else 3
        with opened(copy) as checkpoints:
            assert_identical(checkpoints.restore(LIKE), STATES[newest])


def test_every_damaged_state_that_is_passed_over_is_named(copy):
    halve(copy / "states/2/state/_METADATA")
    (copy / "states/3/state/manifest.ocdbt").unlink()
    with opened(copy) as checkpoints, pytest.warns(match="step 1 is used") as warned:
        assert_identical(checkpoints.restore(LIKE), STATES[1])
    messages = [str(warning.message) for warning in warned]
    assert [message.partition("; moved to ")[0] for message in messages] == [
        f"checkpoint {copy}/states/3: manifest.ocdbt is missing",
        f"checkpoint {copy}/states/2: _METADATA is damaged",
    ]


def test_with_none_sound_nothing_is_touched(copy):
    for step in STATES:
        flip(copy / f"states/{step}/state/manifest.ocdbt")
    before = contents(copy)
    refusal = pytest.raises(DamagedCheckpointError, match=r"^[^\n]+\Z")
    with opened(copy) as checkpoints, refusal as caught:
        checkpoints.restore(LIKE)
    assert str(caught.value) == (
        f"checkpoint {copy}/states/3: manifest.ocdbt is damaged; "
        "nor is any of the 2 older ones sound"
    )
    assert contents(copy) == before
    assert not (copy / "damaged").exists()


def test_a_state_that_is_asked_for_by_its_step_has_no_substitute(copy):
    flip(copy / "states/2/state/_METADATA")
    before = contents(copy)
    with opened(copy) as checkpoints:
        with pytest.raises(DamagedCheckpointError, match=r"states/2: _METADATA is damaged\Z"):
            checkpoints.restore(LIKE, 2)
        assert_identical(checkpoints.restore(LIKE), STATES[3])
    assert contents(copy) == before


def test_the_same_step_can_be_damaged_twice(copy):
    for number in (1, 2):
        flip(copy / "states/3/state/manifest.ocdbt")
        with opened(copy) as checkpoints:
            with pytest.warns(match="step 2 is used"):
                checkpoints.restore(LIKE)
            checkpoints.save(STATES[3])
        assert len(list((copy / "damaged").iterdir())) == number


def test_a_damaged_rewind_point_is_named_and_stays(copy):
    flip(copy / "rewind/1/state/manifest.ocdbt")
    before = contents(copy)
    with opened(copy) as checkpoints:
        with pytest.raises(DamagedCheckpointError, match=r"rewind/1: manifest.ocdbt is damaged\Z"):
            checkpoints.restore_rewind_point(LIKE)
        checkpoints.save_rewind_point(STATES[1])
    assert contents(copy) == before


def with_kernel(state, kernel):
    params = dict(state.params) | {"Dense_0": dict(state.params["Dense_0"]) | {"kernel": kernel}}
    return state.replace(params=params)


OTHERS = {
    "params/Dense_0/kernel is float32 (16, 7), expected float32 (16, 5)": with_kernel(
        LIKE, jnp.zeros((16, 5))
    ),
    "params/Dense_0/kernel is float32 (16, 7), expected float32 (7, 16)": with_kernel(
        LIKE, jnp.zeros((7, 16))
    ),
    "params/Dense_0/kernel is float32 (16, 7), expected bfloat16 (16, 7)": with_kernel(
        LIKE, jnp.zeros((16, 7), jnp.bfloat16)
    ),
    "opt_state/0/mu/Dense_0/kernel is float32 (16, 7), expected no such leaf": LIKE.replace(
        opt_state=()
    ),
    "params/Dense_2/bias is missing, expected float32 (3,)": LIKE.replace(
        params=dict(LIKE.params) | {"Dense_2": {"bias": jnp.zeros(3)}}
    ),
    "peaks is float32 (3,), expected float32 (4,)": LIKE.replace(peaks=jnp.zeros(4)),
}


@pytest.mark.parametrize("problem", OTHERS)
def test_another_tree_shape_or_dtype_is_named_by_the_leaf(copy, problem):
    """By the first leaf that differs, when there are many."""
    before = contents(copy)
    with opened(copy) as checkpoints:
        with pytest.raises(DamagedCheckpointError) as caught:
            checkpoints.restore(OTHERS[problem], 3)
        first = problem.replace("mu/Dense_0/kernel is float32 (16, 7)", "count is int32 ()")
        assert str(caught.value) == f"checkpoint {copy}/states/3: {first}"
        if problem.startswith("params"):
            with pytest.raises(DamagedCheckpointError, match=re.escape(problem)):
                checkpoints.restore_rewind_point(OTHERS[problem])
    assert contents(copy) == before


def test_a_newest_state_of_another_shape_is_passed_over(copy):
    other = with_kernel(LIKE, jnp.ones((16, 5))).replace(step=jnp.int32(4))
    with opened(copy) as checkpoints:
        checkpoints.save(other)
    warning = pytest.warns(match=r"states/4: params/Dense_0/kernel .* step 3 is used")
    with opened(copy) as checkpoints, warning:
        assert_identical(checkpoints.restore(LIKE), STATES[3])


def test_a_sound_rewind_point_comes_back_beside_damaged_states(copy):
    for step in STATES:
        flip(copy / f"states/{step}/state/manifest.ocdbt")
    with opened(copy) as checkpoints:
        point = checkpoints.restore_rewind_point(LIKE)
    assert_identical(point, RewindPoint(STATES[1].params, STATES[1].batch_stats))


def test_a_file_that_may_not_be_read_is_not_taken_for_damaged(copy, monkeypatch):
    before = contents(copy)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    with opened(copy) as checkpoints, monkeypatch.context() as patch:
        patch.setattr(checksums, "_checksum", refuse)
        with pytest.raises(PermissionError):
            checkpoints.restore(LIKE)
    assert contents(copy) == before


def test_checksums_do_not_depend_on_where_the_directory_lies(copy, tmp_path):
    shutil.move(copy, tmp_path / "elsewhere")
    with opened(tmp_path / "elsewhere") as checkpoints:
        restored = checkpoints.restore(LIKE)
    assert_identical(jax.device_get(restored), jax.device_get(STATES[3]))
