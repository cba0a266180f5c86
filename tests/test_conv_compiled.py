"""What the convolution and its gradients are compiled to."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from silo_jax.models.conv import conv
from tests.test_conv import SAME, draw, native


def gradient(convolve, argnums=(0, 1)):
    def loss(images, kernel):
        return jnp.sum(convolve(images, kernel, 2, SAME) ** 2)

    return jax.jit(jax.grad(loss, argnums))


def operations(program_text):
    return re.findall(r"stablehlo\.(convolution|while|dot_general)\b", program_text)


@pytest.mark.skipif(
    jax.__version_info__ < (0, 10), reason="older JAX may leave the choice of platform to XLA"
)
@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu", "cpu"])
def test_gradients_of_a_strided_convolution_are_native_on_all_platforms_but_the_cpu(platform):
    arrays = draw((3, 3), (6, 6), 2)[:2]
    ours, its = (
        operations(gradient(f).trace(*arrays).lower(lowering_platforms=(platform,)).as_text())
        for f in (conv, native)
    )
    assert its == ["convolution"] * 3
    if platform == "cpu":
        assert sorted(ours) == ["convolution", "convolution", "dot_general", "while"]
    else:
        assert ours == its


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what the CPU's compiler makes of it")
def test_in_a_loop_the_cpu_gets_only_forms_it_has_a_fast_routine_for():
    images, kernel, _ = draw((3, 3), (6, 6), 2)

    def slow_forms(convolve):
        def descent(kernel, images):
            return jax.tree.map(
                jnp.subtract, (kernel, images), gradient(convolve)(images, kernel)[::-1]
            )

        def loop(*arrays):
            return lax.fori_loop(0, 3, lambda _, pair: descent(*pair), arrays)

        text = jax.jit(loop).lower(kernel, images).compile().as_text()
        convolutions = re.findall(r" convolution\(.*?\), window={(.*?)}, dim_labels=(\S+?),", text)
        assert convolutions
        return [
            (window, layout)
            for window, layout in convolutions
            if layout != "b01f_01io->b01f" or "rhs_reversal" in window
        ]

    assert not slow_forms(conv)
    assert slow_forms(native)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what the CPU's compiler makes of it")
def test_a_gradient_that_nobody_asks_for_is_not_computed():
    arrays = draw((3, 3), (6, 6), 2)[:2]
    count = [
        gradient(conv, argnums).lower(*arrays).compile().as_text().count(" convolution(")
        for argnums in ((0, 1), (1,))
    ]
    assert count == [2, 1]  # the forward pass, and the gradient of the images


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what the CPU's compiler makes of it")
@pytest.mark.parametrize(("size", "is_few"), [((2, 2), True), ((6, 6), False)])
def test_the_cpu_has_no_convolution_of_few_pixels(size, is_few):
    arrays = draw((3, 3), size, 2)[:2]
    text = gradient(conv).lower(*arrays).compile().as_text()
    assert (" convolution(" not in text) == is_few
