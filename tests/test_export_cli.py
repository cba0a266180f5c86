"""``silo-jax export``: what it writes and says, and bad input in one line."""

import json

import pytest

from silo_jax.cli import export as command
from tests.tiny import run_quietly, tiny_config


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config = tiny_config(pruning__num_cycles=2, pruning__fraction=0.9)
    return run_quietly(config, tmp_path_factory.mktemp("export") / "run")


def test_the_command_writes_what_it_says(workdir, tmp_path, capsys):
    flags = ["--format=dense,sparse", "--cycle=1", "--shrink", f"--out={tmp_path / 'files'}"]
    command.main(["silo-jax export", str(workdir), *flags])
    printed = capsys.readouterr().out
    names = {f"seed_0_cycle_1_shrunk.{kind}.safetensors" for kind in ("dense", "sparse")}
    assert {path.name for path in (tmp_path / "files").iterdir()} == {*names, "read_sparse.py"}
    for name in names:
        assert str(tmp_path / "files" / name) in printed
        assert f"{(tmp_path / 'files' / name).stat().st_size:,}" in printed
    assert "save memory, not time" in printed
    assert "times as fast (quartiles" in printed
    (workdir / "exports").mkdir()
    command.main(["silo-jax export", str(workdir)])
    described = (workdir / "exports/seed_0_cycle_1.dense.safetensors").read_bytes()
    header = json.loads(described[8 : 8 + int.from_bytes(described[:8], "little")])
    told = json.loads(header["__metadata__"]["silo_jax"])
    assert (told["cycle"], told["model"]) == (1, {"hidden": [16], "name": "mlp"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "DIR: missing; allowed: one directory of a run"),
        (["RUN", "RUN"], "DIR: 2 given; allowed: one directory of a run"),
        (["nowhere"], "DIR: nowhere; allowed: a directory"),
        (
            ["RUN", "--format=onnx"],
            "--format: 'onnx'; allowed: bcoo, dense, sparse, stablehlo, torch",
        ),
        (["RUN", "--cycle=2"], "cycle: 2; allowed: 0 to 1, which seed 0 has finished"),
        (["RUN", "--cycle=x"], "flag --cycle=x: invalid literal"),
        (["RUN", "--seed=1"], "seed: 1; allowed: 0"),
        (
            ["RUN", "--shrnk"],
            "argument: '--shrnk'; allowed: --cycle, --format, --out, --seed, --shr",
        ),
        (["RUN", "--cycle=1", "--cycle=0"], "--cycle: given twice; allowed: once"),
        (["RUN", "--out=RUN/config.json/x"], "Not a directory"),
    ],
)
def test_bad_input_is_one_line_with_status_2(workdir, capsys, arguments, said):
    arguments = [argument.replace("RUN", str(workdir)) for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        command.main(["silo-jax export", *arguments])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err
