"""PyTorch's side of bench/trainer_steps.py: the same network, loss and optimizer, in a venv of its own.

It reads a number of steps from each line, does them, and prints the wall and CPU seconds that they took.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WEIGHTS = (0.01, 1.0, 0.95)


class Block(nn.Sequential):
    """Two 3×3 convolutions, each with batch normalisation and ReLU."""

    def __init__(self, inputs: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for into in (inputs, channels):
            layers += [
                nn.Conv2d(into, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class SmallUNet(nn.Module):
    """smallUNet_less of trainer/network/models.py: two poolings, dropout behind the deepest level."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down1, self.down2, self.deepest = (
            Block(1, width),
            Block(width, 2 * width),
            Block(2 * width, 4 * width),
        )
        self.dropout = nn.Dropout(0.3)
        self.raise2, self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), Block(4 * width, 2 * width)
        self.raise1, self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2), Block(2 * width, width)
        self.logits = nn.Conv2d(width, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        level1 = self.down1(images)
        level2 = self.down2(functional.max_pool2d(level1, 2))
        deep = self.dropout(self.deepest(functional.max_pool2d(level2, 2)))
        merged = self.up2(torch.cat([level2, self.raise2(deep)], 1))
        return self.logits(self.up1(torch.cat([level1, self.raise1(merged)], 1)))


def main() -> None:
    width, rows, columns, batch = (int(word) for word in sys.argv[2:6])
    layout = torch.channels_last if sys.argv[1] == "channels_last" else torch.contiguous_format
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    images = random.random((batch, 1, rows, columns), np.float32)
    classes = random.integers(0, 3, (batch, rows, columns))
    network = SmallUNet(width).to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), 0.001)
    weights = torch.tensor(WEIGHTS)

    def step() -> float:
        inputs = torch.from_numpy(images).contiguous(memory_format=layout)
        optimizer.zero_grad(set_to_none=True)
        losses = functional.cross_entropy(network(inputs), torch.from_numpy(classes), weights, reduction="none")
        loss = losses.mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
