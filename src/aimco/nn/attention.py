"""Multi-head attention with its projections in arrays, and embeddings as rows of an array."""

from __future__ import annotations

import math

import torch
from torch import nn

from aimco.arrays.spec import Blueprint
from aimco.nn.arguments import flag, on_cpu, share, whole
from aimco.nn.layout import place
from aimco.nn.linear import Linear
from aimco.record import InputError


class MultiheadAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V with the four projections in arrays: `torch.nn.MultiheadAttention` for analog hardware.

    The products of activations with each other are digital: neither factor is a weight.

    Args:
        embed_dim: Size of queries and outputs.
        num_heads: Heads, each of embed_dim / num_heads.
        dropout: Share of attention weights set to 0 in training.
        bias: Whether projections have offsets.
        add_bias_kv: Whether a learned key and value is added to the sequence, digital.
        add_zero_attn: Whether a key and value of zeros is added.
        kdim: Size of keys; embed_dim when absent.
        vdim: Size of values; embed_dim when absent.
        batch_first: Whether inputs are (batch, seq, features).
        device: As in torch; the CPU alone.
        dtype: As in torch; float32 alone.
        design: An `aimco.Design`.
        name: See `Linear`.
        seed: See `Linear`.
    """

    # a torch.nn.TransformerEncoderLayer asks these before it would bypass `forward`
    in_proj_bias = None
    _qkv_same_embed_dim = False

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        design: Blueprint,
        name: str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        on_cpu(device, dtype)
        self.embed_dim, self.num_heads = whole("embed_dim", embed_dim), whole("num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise InputError(f"num_heads must divide embed_dim, got {self.num_heads} for {self.embed_dim}")
        self.dropout, self.add_zero_attn, self.batch_first = (
            share("dropout", dropout),
            flag("add_zero_attn", add_zero_attn),
            flag("batch_first", batch_first),
        )
        self.kdim, self.vdim = (self.embed_dim if size is None else whole(n, size) for n, size in (("kdim", kdim), ("vdim", vdim)))
        name, seeds = place("attention", name, seed, None)

        def projection(what: str, inputs: int) -> Linear:
            return Linear(inputs, self.embed_dim, bias, design=design, name=f"{name} {what}", seeds=seeds)

        self.q_proj, self.k_proj = projection("q", self.embed_dim), projection("k", self.kdim)
        self.v_proj, self.out_proj = projection("v", self.vdim), projection("out", self.embed_dim)
        learned = flag("add_bias_kv", add_bias_kv)
        self.bias_k, self.bias_v = (
            nn.Parameter(nn.init.xavier_normal_(torch.empty(1, 1, self.embed_dim))) if learned else None for _ in range(2)
        )

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Outputs in the shape of the query, and attention weights if asked, as in torch."""
        batched = self._check(query, key, value)
        if is_causal and attn_mask is None:
            raise InputError("attn_mask must be given where is_causal is: it is a hint about the mask, as in torch")
        inputs = (query, key, value) if batched else tuple(t.unsqueeze(0 if self.batch_first else 1) for t in (query, key, value))
        if not self.batch_first:
            inputs = tuple(t.transpose(0, 1) for t in inputs)
        if not batched and key_padding_mask is not None:
            key_padding_mask = key_padding_mask[None]
        q, k, v = (p(t) for p, t in zip((self.q_proj, self.k_proj, self.v_proj), inputs, strict=True))
        k, v, more = self._lengthened(k, v)
        mask = self._mask(attn_mask, key_padding_mask, q, more)
        heads, weights = self._attend(self._heads(q), self._heads(k), self._heads(v), mask)
        y = self.out_proj(heads.transpose(1, 2).flatten(2))
        y = y if self.batch_first else y.transpose(0, 1)
        y = y if batched else y.squeeze(0 if self.batch_first else 1)
        if not need_weights:
            return y, None
        weights = weights.mean(1) if average_attn_weights else weights
        return y, weights if batched else weights[0]

    def _check(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
        if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
            raise InputError(f"query, key and value must all have 2 or 3 axes, got {query.ndim}, {key.ndim} and {value.ndim}")
        return query.ndim == 3

    def _heads(self, t: torch.Tensor) -> torch.Tensor:
        return t.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def _lengthened(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Keys and values with what is added to the sequence, and how much that is."""
        more, batch = 0, k.shape[0]
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (torch.cat((t, b.expand(batch, -1, -1)), 1) for t, b in ((k, self.bias_k), (v, self.bias_v)))
            more += 1
        if self.add_zero_attn:
            k, v = (nn.functional.pad(t, (0, 0, 0, 1)) for t in (k, v))
            more += 1
        return k, v, more

    def _mask(self, attention: torch.Tensor | None, padding: torch.Tensor | None, q: torch.Tensor, more: int) -> torch.Tensor | None:
        """What is added to scores, broadcast to (batch, heads, queries, keys)."""
        total = None
        if attention is not None:
            shaped = attention.view(q.shape[0], self.num_heads, *attention.shape[1:]) if attention.ndim == 3 else attention[None, None]
            total = _added(shaped, q)
        if padding is not None:
            padding_mask = _added(padding[:, None, None], q)
            total = padding_mask if total is None else total + padding_mask
        return total if total is None or not more else nn.functional.pad(total, (0, more))

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        weights = torch.softmax(scores if mask is None else scores + mask, 3)
        weights = nn.functional.dropout(weights, self.dropout, self.training)
        return weights @ v, weights

    def _load_from_state_dict(self, state_dict: dict[str, torch.Tensor], prefix: str, *others: object) -> None:
        """Weights of torch's layer become those of the projections."""
        for what in ("weight", "bias"):
            if f"{prefix}in_proj_{what}" in state_dict:
                parts = state_dict.pop(f"{prefix}in_proj_{what}").chunk(3)
                state_dict.update({f"{prefix}{n}_proj.{what}": part for n, part in zip("qkv", parts, strict=True)})
        for n in "qkv":
            if f"{prefix}{n}_proj_weight" in state_dict:
                state_dict[f"{prefix}{n}_proj.weight"] = state_dict.pop(f"{prefix}{n}_proj_weight")
        super()._load_from_state_dict(state_dict, prefix, *others)


def _added(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A mask as numbers to add: True keeps a key out."""
    return torch.zeros(mask.shape, dtype=like.dtype).masked_fill(mask, -math.inf) if mask.dtype == torch.bool else mask


class Embedding(Linear):
    """Rows of an array chosen by number, each read by a one-hot vector: `torch.nn.Embedding` where an array is to hold it.

    A table that is looked up needs no array: `torch.nn.Embedding` is the usual choice, and `one_hot=True` says that this is meant.

    Args:
        num_embeddings: Rows.
        embedding_dim: Columns.
        one_hot: Must be True.
        design: An `aimco.Design`.
        name: See `Linear`.
        seed: See `Linear`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        one_hot: bool = False,
        design: Blueprint,
        name: str | None = None,
        seed: int | None = None,
    ) -> None:
        if one_hot is not True:
            raise InputError("one_hot must be True for an embedding in an array, every row read by a vector; or take torch.nn.Embedding")
        self.num_embeddings, self.embedding_dim = whole("num_embeddings", num_embeddings), whole("embedding_dim", embedding_dim)
        name, seeds = place("embedding", name, seed, None)
        super().__init__(self.num_embeddings, self.embedding_dim, False, design=design, name=name, seeds=seeds)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_floating_point() or x.is_complex() or (x.numel() and not 0 <= int(x.min()) <= int(x.max()) < self.inputs):
            raise InputError(f"the input of {self.title} must be whole numbers in 0..{self.inputs - 1}")
        return super().forward(nn.functional.one_hot(x.long(), self.inputs).float())
