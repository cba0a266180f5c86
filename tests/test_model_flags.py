"""Options of a network on the command line, also those that the config file leaves out."""

from pathlib import Path

import pytest

from silo_jax.cli.flags import parse_flags

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
QUICKSTART = Path(__file__).parents[1] / "configs/quickstart.py"


def parsed(*overrides):
    arguments = [f"--config={QUICKSTART}", "--workdir=nowhere"]
    arguments += [f"--config.model.{override}" for override in overrides]
    return parse_flags(["premise", *arguments], {})["config"].model.to_dict()


def test_an_option_that_the_config_file_leaves_out_can_be_given():
    plain = {"name": "mlp", "hidden": (48, 24)}
    assert parsed() == plain
    assert parsed("activation=tanh") == plain | {"activation": "tanh"}
    assert parsed("hidden=(5,)", "dtype=bfloat16") == plain | {"hidden": (5,), "dtype": "bfloat16"}


def test_options_are_those_of_the_network_that_is_named_and_of_their_types():
    found = parsed("width=96", "new_head=true", "name=vit_cifar", "checkpoint=")
    assert found == {
        **{"name": "vit_cifar", "hidden": (48, 24), "width": 96},
        **{"new_head": True, "checkpoint": ""},
    }


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["activaton=tanh"], "did you mean 'activation'?"),
        (["norm=none"], "--config.model: 'norm'; allowed: activation, dtype, hidden, name"),
        (["num_classes=3"], "--config.model: 'num_classes'; allowed: activation"),
        (["activation"], "--config.model.activation: no value; allowed: "),
        (["name=vit_cifar", "width=wide"], "--config.model.width=wide; allowed: an integer"),
        (["name=resnet", "norm=none"], "model.name: 'resnet'; allowed: conv2"),
        (["activation.kind=tanh"], "--config.model: 'activation.kind'; allowed: activation"),
    ],
)
def test_what_is_no_option_is_refused_in_one_line(overrides, told, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(*overrides)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
