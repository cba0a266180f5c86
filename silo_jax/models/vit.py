"""Vision Transformers."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from silo_jax.checks import require_int
from silo_jax.models.layers import Activation, require_dtype


class ViT(nn.Module):
    """The Vision Transformer of Dosovitskiy et al. 2021: class token, no dropout.

    ========  ==========  =====  =====  =========  =======  ==========
    network   patch_size  width  depth  num_heads  mlp_dim  parameters
    ========  ==========  =====  =====  =========  =======  ==========
    ViT-Ti            16    192     12          3      768   5 717 416
    ViT-S             16    384     12          6     1536  22 050 664
    ViT-B             16    768     12         12     3072  86 567 656
    default            4    192      6          3      768   2 693 578
    ========  ==========  =====  =====  =========  =======  ==========

    The first three are counted at 224×224 with 1000 classes. The default is this project's own
    choice for 32×32 images (here 10 classes): ViT-Ti with smaller patches and half the depth.

    Initialisation as in the authors' code: Glorot uniform kernels; LeCun normal patch embedding;
    positions of deviation 0.02; biases of the MLPs of deviation 1e-6, other biases and the class
    token 0. The head starts at 0 as well, so at the first step only the head has a gradient.

    Pruned are the matrices of attention and MLPs, and the head: all that is a dense layer. The
    patch embedding is left whole, as embeddings are everywhere here; it has under 1 % of the
    weights of ViT-B. Every matrix is one leaf of two dimensions, so that budgets by layer count
    its true inputs and outputs, all heads together.

    Attributes:
      num_classes: size of the output.
      patch_size: side of a patch; it has to divide the images' height and width.
      width: size of a token; a multiple of ``num_heads``.
      depth: number of blocks, each attention and a multilayer perceptron (MLP).
      num_heads: attention heads.
      mlp_dim: size of the MLPs' hidden layer.
      dtype: of the computation, "float32" or "bfloat16"; parameters and logits are float32.
      checkpoint: file of published weights to start from; "" starts from random ones. See
        `silo_jax.models.vit_checkpoint.load_checkpoint`, which a run calls; the network itself
        does not read it.
      new_head: whether the head starts at 0 even if the checkpoint has one for as many classes.

    Raises:
      ValueError: on a call, images that the patches do not fill.

    References:
      Dosovitskiy et al., "An Image Is Worth 16×16 Words: Transformers for Image Recognition at
      Scale", ICLR 2021, arXiv:2010.11929. ViT-Ti and S: Touvron et al., "Training data-efficient
      image transformers & distillation through attention", ICML 2021, arXiv:2012.12877.
    """

    prunable: ClassVar[tuple[str, ...]] = (r"^block_\d+/.*kernel$", "^head/kernel$")

    num_classes: int
    patch_size: int = 4
    width: int = 192
    depth: int = 6
    num_heads: int = 3
    mlp_dim: int = 768
    dtype: str = "float32"
    checkpoint: str = ""
    new_head: bool = False

    def __post_init__(self) -> None:
        for name in ("patch_size", "width", "depth", "num_heads", "mlp_dim"):
            require_int(f"model.{name}", getattr(self, name), minimum=1)
        if self.width % self.num_heads:
            raise ValueError(
                f"model.num_heads: {self.num_heads}; allowed: a divisor of the width {self.width}"
            )
        require_dtype(self.dtype)
        if not isinstance(self.checkpoint, str):
            raise ValueError(f"model.checkpoint: {self.checkpoint!r}; allowed: a path, or ''")
        if not isinstance(self.new_head, bool):
            raise ValueError(f"model.new_head: {self.new_head!r}; allowed: True or False")
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        patches = _patches(images.astype(self.dtype), self.patch_size)
        patches = nn.Dense(self.width, dtype=self.dtype, name="embedding")(patches)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, self.width)).astype(self.dtype)
        cls = jnp.broadcast_to(cls, (images.shape[0], 1, self.width))
        x = jnp.concatenate([cls, patches], axis=1)
        positions = self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        x = x + positions.astype(self.dtype)
        for index in range(self.depth):
            x = Block(self.num_heads, self.mlp_dim, self.dtype, name=f"block_{index}")(x)
        x = nn.LayerNorm(name="encoder_norm")(x[:, 0].astype(jnp.float32))
        return nn.Dense(self.num_classes, kernel_init=nn.initializers.zeros, name="head")(x)


class Block(nn.Module):
    """Attention and a multilayer perceptron, each on normalised tokens and added to them."""

    num_heads: int
    mlp_dim: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.LayerNorm(dtype=self.dtype)(x)
        x = x + Attention(self.num_heads, self.dtype, name="attention")(y)
        y = nn.LayerNorm(dtype=self.dtype)(x)
        y = Activation("gelu")(
            _dense(self.mlp_dim, self.dtype, bias_init=nn.initializers.normal(1e-6))(y)
        )
        return x + _dense(x.shape[-1], self.dtype, bias_init=nn.initializers.normal(1e-6))(y)


class Attention(nn.Module):
    """Every token becomes a mean of all tokens' values, weighted anew by each head."""

    num_heads: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        heads = (*x.shape[:-1], self.num_heads, width // self.num_heads)
        query, key, value = (
            _dense(width, self.dtype, name=name)(x).reshape(heads)
            for name in ("query", "key", "value")
        )
        mixed = jax.nn.dot_product_attention(query, key, value)
        return _dense(width, self.dtype, name="out")(mixed.reshape(x.shape))


def _dense(
    features: int,
    dtype: str,
    *,
    bias_init: nn.initializers.Initializer = nn.initializers.zeros,
    name: str | None = None,
) -> nn.Dense:
    return nn.Dense(
        features,
        dtype=dtype,
        kernel_init=nn.initializers.glorot_uniform(),
        bias_init=bias_init,
        name=name,
    )


def _patches(images: jax.Array, size: int) -> jax.Array:
    """The pixels of each patch, row by row: (n, patches, size · size · channels)."""
    n, height, width, channels = images.shape
    if height % size or width % size:
        raise ValueError(
            f"images for vit: {height}×{width}; allowed: multiples of the patch_size {size}"
        )
    grid = images.reshape(n, height // size, size, width // size, size, channels)
    return grid.swapaxes(2, 3).reshape(n, -1, size * size * channels)
