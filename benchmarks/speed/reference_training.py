"""Training as the published code of MAE and FMAE does it, written down plainly: what ``training.py`` compares with.

Explicit softmax attention, a convolution for patches, all patches embedded and most of them dropped, tokens put back
into image order, pixels predicted everywhere and the loss masked, AdamW parameter by parameter, gradients set to zero
and kept, ``loss.item()`` and a synchronisation in every step, every image normalised for itself. Names of parameters
are the published ones, so that weights can be copied over.

Two things are kinder than published: the miniatures' stem looks only at the patches that are kept (so that its batch
norm sees the same as the product's, and losses can be compared), and images are arrays already, where published loops
open files with Pillow.
"""

import math
import sys

import numpy as np
import torch
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = (q @ k.transpose(-2, -1)) * self.scale
        attn = attn.softmax(dim=-1)
        return self.proj((attn @ v).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, mlp: float = 4.0):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, int(dim * mlp))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, dim: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


def _step(before: int, width: int, activation: nn.Module) -> list[nn.Module]:
    return [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), activation]


class ConvStem(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.layers = nn.Sequential(*_step(3, 32, nn.ReLU()), *_step(32, 64, nn.ReLU()), *_step(64, dim, nn.Identity()))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(2).transpose(1, 2)


class PatchStem(nn.Module):
    """The miniatures' convolutions inside each patch of 8 px."""

    def __init__(self, dim: int):
        super().__init__()
        self.layers = nn.Sequential(*_step(3, 32, nn.GELU()), *_step(32, 64, nn.GELU()))
        self.project, self.norm = nn.Linear(256, dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        patches = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)  # (B, P, 3, 8, 8)
        index = keep[..., None, None, None].expand(-1, -1, *patches.shape[2:])
        kept = torch.gather(patches, 1, index).reshape(-1, 3, 8, 8)
        return self.norm(self.project(self.layers(kept).flatten(1))).reshape(len(x), keep.shape[1], -1)


class Trunk(nn.Module):
    """What both models share; `config` is that of the product's ViT."""

    def __init__(self, config: dict):
        super().__init__()
        dim, patches = config["dim"], (config["size"] // config["patch"]) ** 2
        stems = {"linear": lambda: PatchEmbed(dim, config["patch"]), "conv": lambda: ConvStem(dim)}
        self.patch_embed = stems.get(config["stem"], lambda: PatchStem(dim))()
        self.first = int(config["cls"])
        if self.first:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        learned = config["position"] == "learned"
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + self.first, dim), requires_grad=learned)
        self.blocks = nn.ModuleList([Block(dim, config["heads"], config["mlp"]) for _ in range(config["depth"])])
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def with_cls(self, x: Tensor) -> Tensor:
        if not self.first:
            return x
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        return torch.cat((cls, x), dim=1)


class MaskedAutoencoder(Trunk):
    """Pretraining; `config` is that of the product's masked autoencoder."""

    def __init__(self, config: dict):
        super().__init__(config["encoder"])
        encoder, dim = config["encoder"], config["decoder_dim"]
        self.patch, self.floor = encoder["patch"], config["floor"]
        self.decoder_embed = nn.Linear(encoder["dim"], dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, self.pos_embed.shape[1], dim), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            [Block(dim, config["decoder_heads"]) for _ in range(config["decoder_depth"])]
        )
        self.decoder_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_pred = nn.Linear(dim, self.patch**2 * 3)

    def patchify(self, image: Tensor) -> Tensor:
        p, side = self.patch, image.shape[2] // self.patch
        x = image.reshape(image.shape[0], 3, side, p, side, p)
        x = torch.einsum("nchpwq->nhwpqc", x)
        return x.reshape(image.shape[0], side * side, p * p * 3)

    def forward(self, image: Tensor) -> Tensor:
        b, patches = image.shape[0], self.pos_embed.shape[1] - self.first
        visible = int(patches * 0.25)
        noise = torch.rand(b, patches, device=image.device)
        shuffle = torch.argsort(noise, dim=1)
        restore = torch.argsort(shuffle, dim=1)
        keep = shuffle[:, :visible]
        position = self.pos_embed[:, self.first :]
        if isinstance(self.patch_embed, PatchStem):
            x = self.patch_embed(image, keep)
            x = x + torch.gather(position.expand(b, -1, -1), 1, keep[..., None].expand(-1, -1, x.shape[-1]))
        else:
            x = self.patch_embed(image) + position
            x = torch.gather(x, dim=1, index=keep.unsqueeze(-1).repeat(1, 1, x.shape[-1]))
        mask = torch.ones([b, patches], device=image.device)
        mask[:, :visible] = 0
        mask = torch.gather(mask, dim=1, index=restore)
        x = self.with_cls(x)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_embed(self.norm(x))

        masked = self.mask_token.repeat(b, patches + self.first - x.shape[1], 1)
        y = torch.cat([x[:, self.first :], masked], dim=1)
        y = torch.gather(y, dim=1, index=restore.unsqueeze(-1).repeat(1, 1, x.shape[2]))
        y = torch.cat([x[:, : self.first], y], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            y = block(y)
        predicted = self.decoder_pred(self.decoder_norm(y))[:, self.first :]

        target = self.patchify(image)
        mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
        target = (target - mean) / ((variance + 1.0e-6) ** 0.5 + self.floor)
        loss = ((predicted - target) ** 2).mean(dim=-1)
        return (loss * mask).sum() / mask.sum()


class Detector(Trunk):
    """Fine-tuning; `config` is that of the product's ViT."""

    def __init__(self, config: dict, outputs: int):
        super().__init__(config)
        self.pool = config["pool"]
        width = config["dim"]
        if self.pool == "position":
            self.reduce = nn.Linear(config["dim"], 16)
            width = 16 * (self.pos_embed.shape[1] - self.first)
        self.head = nn.Linear(width, outputs)

    def forward(self, image: Tensor) -> Tensor:
        x = self.with_cls(self.patch_embed(image) + self.pos_embed[:, self.first :])
        for block in self.blocks:
            x = block(x)
        x = x[:, self.first :]
        if self.pool == "position":
            return self.head(self.reduce(self.norm(x)).flatten(1))
        return self.head(self.norm(x.mean(dim=1)))


class Loader:
    """Images one by one, as a Dataset's ``__getitem__`` and the default collate function make them."""

    def __init__(self, images: np.ndarray, labels: Tensor, *, mean: Tensor, spread: Tensor | float, seed: int = 0):
        self.images = [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in images]  # (H, W, 3) uint8
        self.labels, self.mean, self.spread = labels, mean, spread
        self.generator = torch.Generator().manual_seed(seed)

    def item(self, index: int, *, flip: bool = True) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(self.images[index]).permute(2, 0, 1).contiguous().float().div(255)
        if flip and torch.rand(1, generator=self.generator).item() < 0.5:
            image = image.flip(-1)
        return (image - self.mean) / self.spread, self.labels[index]

    def batch(self, indices: list[int], *, flip: bool = True) -> tuple[Tensor, Tensor]:
        images, labels = zip(*(self.item(index, flip=flip) for index in indices), strict=True)
        return torch.stack(images), torch.stack(labels)


class Loop:
    """One step of the published engines (``engine_pretrain.py``, ``engine_finetune.py``).

    Parameters
    ----------
    model : MaskedAutoencoder or Detector
    groups : list of dict
        For AdamW, with ``lr_scale``.
    device : torch.device
        On CUDA the forward pass is under float16 autocast with a gradient scaler, elsewhere in float32.
    """

    def __init__(self, model: nn.Module, groups: list[dict], *, lr: float, betas: tuple[float, float], device):
        self.model, self.device, self.lr = model.train(), torch.device(device), lr
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=0.05, foreach=False, fused=False)
        self.cuda = self.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=self.cuda)
        self.criterion = nn.BCEWithLogitsLoss()
        self.total, self.steps = 0.0, 0

    def step(self, images: Tensor, labels: Tensor) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group.get("lr_scale", 1.0)
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, dtype=torch.float16, enabled=self.cuda):
            if isinstance(self.model, MaskedAutoencoder):
                loss = self.model(images)
            else:
                loss = self.criterion(self.model(images), labels)
        value = loss.item()
        if not math.isfinite(value):
            sys.exit(f"Loss is {value}, stopping training")
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=False)
        if self.cuda:
            torch.cuda.synchronize()
        self.total, self.steps = self.total + value, self.steps + 1
        return value
