"""``python -m experiments.premise``: what it prints, and with which status it ends."""

import json
from pathlib import Path

import pytest

from silo_jax.cli.premise import main

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def test_the_entry_point_measures_and_reports(tmp_path, capsys):
    """Three cycles are trained, of which the last one is measured, too; a GELU network."""
    arguments = [
        *(f"--config={Path(__file__).parent / 'mlp_config.py'}", f"--workdir={tmp_path}"),
        *("--cycles=2,0", "--num_images=64", "--config.seeds=(5,)"),
        "--config.model.activation=gelu",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["premise", *arguments])
    assert ended.value.code == 0
    printed = capsys.readouterr()
    assert "gradients" in printed.out
    assert f"report: {tmp_path / 'report.html'}" in printed.out
    assert "seed 5  cycle 2  measured" in printed.err
    study = json.loads((tmp_path / "study.json").read_text())
    assert study == {"kind": "premise", "cycles": [0, 2], "num_images": 64}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model"]["activation"] == "gelu"


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--cycles=0,x", "--cycles: '0,x'; allowed: integers with commas between them"),
        ("--cycles=3", "cycles: 3; allowed: from 0 to 2"),
        ("--num_images=0", "--num_images: 0; allowed: at least 1"),
        ("--fork=there", "argument: '--fork'; allowed: --config"),
    ],
)
def test_bad_flags_end_in_one_line_and_status_2(tmp_path, capsys, flag, told):
    config = f"--config={Path(__file__).parent / 'mlp_config.py'}"
    with pytest.raises(SystemExit) as ended:
        main(["premise", config, f"--workdir={tmp_path / 'new'}", flag])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told}")
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
