"""A second, plain implementation of ViT and MAE on a flat state dict with the published names, to compare with.

Slow on purpose and close to the text of the papers: convolution for the patches, attention spelt out, mask tokens
put back into image order, predictions for every patch.
"""

import numpy as np
import torch
from torch.nn import functional as F


def state(*, size, patch, dim, depth, decoder_dim, decoder_depth, seed=0, mlp=4):
    """A state dict as a published pretraining file has it, with random numbers everywhere but in the positions."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape, around=0.0):
        return around + 0.2 * torch.randn(*shape, generator=g)

    grid = size // patch
    s = {
        "cls_token": draw(1, 1, dim),
        "pos_embed": table(dim, grid),
        "patch_embed.proj.weight": draw(dim, 3, patch, patch),
        "patch_embed.proj.bias": draw(dim),
        "norm.weight": draw(dim, around=1),
        "norm.bias": draw(dim),
        "decoder_embed.weight": draw(decoder_dim, dim),
        "decoder_embed.bias": draw(decoder_dim),
        "mask_token": draw(1, 1, decoder_dim),
        "decoder_pos_embed": table(decoder_dim, grid),
        "decoder_norm.weight": draw(decoder_dim, around=1),
        "decoder_norm.bias": draw(decoder_dim),
        "decoder_pred.weight": draw(patch * patch * 3, decoder_dim),
        "decoder_pred.bias": draw(patch * patch * 3),
    }
    for prefix, width, count in (("blocks", dim, depth), ("decoder_blocks", decoder_dim, decoder_depth)):
        for i in range(count):
            b = f"{prefix}.{i}."
            s[b + "norm1.weight"], s[b + "norm1.bias"] = draw(width, around=1), draw(width)
            s[b + "attn.qkv.weight"], s[b + "attn.qkv.bias"] = draw(3 * width, width), draw(3 * width)
            s[b + "attn.proj.weight"], s[b + "attn.proj.bias"] = draw(width, width), draw(width)
            s[b + "norm2.weight"], s[b + "norm2.bias"] = draw(width, around=1), draw(width)
            s[b + "mlp.fc1.weight"], s[b + "mlp.fc1.bias"] = draw(mlp * width, width), draw(mlp * width)
            s[b + "mlp.fc2.weight"], s[b + "mlp.fc2.bias"] = draw(width, mlp * width), draw(width)
    return s


def table(dim, grid):
    """Sine-cosine positions as the published code makes them: columns first, the cls token at zero."""
    rows, columns = np.meshgrid(np.arange(grid, dtype=np.float64), np.arange(grid, dtype=np.float64), indexing="ij")

    def half(place):
        omega = 1.0 / 10000 ** (np.arange(dim // 4) / (dim / 4.0))
        out = np.einsum("m,d->md", place.reshape(-1), omega)
        return np.concatenate([np.sin(out), np.cos(out)], axis=1)

    rest = np.concatenate([half(columns), half(rows)], axis=1)
    return torch.from_numpy(np.concatenate([np.zeros((1, dim)), rest])[None]).float()


def layer_norm(s, name, x, eps=1e-6):
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).pow(2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * s[name + ".weight"] + s[name + ".bias"]


def linear(s, name, x):
    return x @ s[name + ".weight"].T + s[name + ".bias"]


def block(s, name, x, heads):
    y = linear(s, name + ".attn.qkv", layer_norm(s, name + ".norm1", x))  # (B, N, 3 D)
    b, n, d = x.shape
    q, k, v = (part.view(b, n, heads, d // heads).transpose(1, 2) for part in y.split(d, dim=-1))
    scores = q @ k.transpose(-1, -2) / (d // heads) ** 0.5
    weight = torch.exp(scores - scores.amax(-1, keepdim=True))
    weight = weight / weight.sum(-1, keepdim=True)
    x = x + linear(s, name + ".attn.proj", (weight @ v).transpose(1, 2).reshape(b, n, d))
    y = linear(s, name + ".mlp.fc1", layer_norm(s, name + ".norm2", x))
    y = 0.5 * y * (1 + torch.erf(y / 2**0.5))
    return x + linear(s, name + ".mlp.fc2", y)


def blocks(s, prefix, x, heads):
    i = 0
    while f"{prefix}.{i}.norm1.weight" in s:
        x = block(s, f"{prefix}.{i}", x, heads)
        i += 1
    return x


def encode(s, image, heads, keep=None):
    """Tokens before the last norm, (B, 1+K, D)."""
    patch = s["patch_embed.proj.weight"].shape[-1]
    x = F.conv2d(image, s["patch_embed.proj.weight"], s["patch_embed.proj.bias"], stride=patch)
    x = x.flatten(2).transpose(1, 2) + s["pos_embed"][:, 1:]
    if keep is not None:
        x = torch.stack([x[b][keep[b]] for b in range(len(x))])
    cls = s["cls_token"] + s["pos_embed"][:, :1]
    return blocks(s, "blocks", torch.cat([cls.expand(len(x), -1, -1), x], dim=1), heads)


def pooled(s, image, heads, norm="fc_norm"):
    """The feature of fine-tuning: patch tokens averaged, then normed."""
    return layer_norm(s, norm, encode(s, image, heads)[:, 1:].mean(1))


def reconstruct(s, image, heads, decoder_heads, noise, ratio, normalise=True):
    """Loss, predictions of all patches in image order (B, P, p p 3), mask (B, P), latent (B, 1+K, D)."""
    b, count = noise.shape
    shuffle = torch.argsort(noise, dim=1)
    restore = torch.argsort(shuffle, dim=1)
    visible = int(count * (1 - ratio))
    latent = layer_norm(s, "norm", encode(s, image, heads, shuffle[:, :visible]))

    x = linear(s, "decoder_embed", latent)
    masks = s["mask_token"].repeat(b, count - visible, 1)
    rest = torch.cat([x[:, 1:], masks], dim=1)
    rest = torch.stack([rest[i][restore[i]] for i in range(b)])
    x = torch.cat([x[:, :1], rest], dim=1) + s["decoder_pos_embed"]
    x = layer_norm(s, "decoder_norm", blocks(s, "decoder_blocks", x, decoder_heads))
    predicted = linear(s, "decoder_pred", x)[:, 1:]

    p = s["patch_embed.proj.weight"].shape[-1]
    grid = image.shape[-1] // p
    target = image.reshape(b, 3, grid, p, grid, p)
    target = torch.einsum("nchpwq->nhwpqc", target).reshape(b, grid * grid, p * p * 3)
    if normalise:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6) ** 0.5
    mask = torch.ones(b, count)
    mask[:, :visible] = 0
    mask = torch.stack([mask[i][restore[i]] for i in range(b)])
    loss = (((predicted - target) ** 2).mean(-1) * mask).sum() / mask.sum()
    return loss, predicted, mask.bool(), latent
