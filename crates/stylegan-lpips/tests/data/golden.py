"""Reference values for the tests of this crate, computed by the lpips package on random weights.

    pip install torch torchvision lpips safetensors
    python golden.py

writes lpips.json and lpips.safetensors beside this file. Two networks:

- "narrow": a VGG16 of few channels, with weights, pictures, distances and gradients in the file;
- "published": one of the published widths, too large for a file, so that weights and pictures come from a
  formula (`uniform`), which the test repeats.
"""

import json
from pathlib import Path

import lpips
import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent


def uniform(stream, count, scale):
    """Numbers from -scale to scale: the generator SplitMix64 (Steele et al. 2014), started at stream * 2^32."""
    with np.errstate(over="ignore"):
        z = np.uint64(stream << 32) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return torch.from_numpy(((z >> np.uint64(11)).astype(np.float64) / 2**52 - 1) * scale)


class Network:
    """The lpips package's network with other weights, and possibly other widths."""

    def __init__(self, widths):
        self.model = lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=False, verbose=False).double().eval()
        self.tensors = {}
        channels = 3
        for stage, width in enumerate(widths):
            layers = getattr(self.model.net, f"slice{stage + 1}")
            for name, layer in layers.named_children():
                if isinstance(layer, torch.nn.Conv2d):
                    stream = int(name) + 1
                    count = width * channels * 9
                    weight = uniform(stream, count, (6 / (9 * channels)) ** 0.5)
                    layer.weight = self.parameter(f"features.{name}.weight", weight.reshape(width, channels, 3, 3))
                    layer.bias = self.parameter(f"features.{name}.bias", uniform(100 + stream, width, 0.1))
                    channels = width
            head = uniform(200 + stage, width, 1).abs().reshape(1, width, 1, 1)
            self.model.lins[stage].model[-1].weight = self.parameter(f"lin{stage}.model.1.weight", head)

    def parameter(self, name, value):
        self.tensors[name] = value.float()
        return torch.nn.Parameter(value.float().double())

    def distance(self, a, b, heads):
        self.model.lpips = heads
        return self.model(a, b).flatten()


def pictures(stream, shape):
    return uniform(stream, int(np.prod(shape)), 1).reshape(shape).float().double()


def main():
    widths = [4, 6, 8, 8, 8]
    network = Network(widths)
    # Sides that are not halved evenly.
    a, b = pictures(300, (2, 3, 40, 36)).requires_grad_(), pictures(301, (2, 3, 40, 36))
    tensors = network.tensors | {"a": a.detach().float(), "b": b.float()}
    for name, heads in [("heads", True), ("plain", False)]:
        distance = network.distance(a, b, heads)
        (gradient,) = torch.autograd.grad(distance.sum(), a)
        tensors |= {f"distance.{name}": distance.detach(), f"gradient.{name}": gradient.float()}
    cases = {"narrow": {"widths": widths}}

    network = Network([64, 128, 256, 512, 512])
    a, b = pictures(300, (2, 3, 32, 32)), pictures(301, (2, 3, 32, 32))
    with torch.no_grad():
        rows = {heads: network.distance(a, b, heads).tolist() for heads in (True, False)}
    cases["published"] = {"rows": {"heads": rows[True], "plain": rows[False]}}

    save_file({f"narrow/{name}": tensor.contiguous() for name, tensor in tensors.items()}, FOLDER / "lpips.safetensors")
    (FOLDER / "lpips.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
