#!/usr/bin/env python3
"""Times the training of a small StyleGAN2 in PyTorch on the CPU, beside `cargo xtask train`.

    python train_small.py --checkpoint FILE [--steps 64] [--threads 2]

The networks and the training step are written here from the formulas of two papers ("Analyzing
and Improving the Image Quality of StyleGAN" and "Training Generative Adversarial Networks with
Limited Data", Karras et al. 2020), in the forms that are fastest in PyTorch. FILE is a checkpoint
of `cargo xtask train`: it gives the configuration and the weights.

First, pictures of the checkpoint's moving average have to equal those of `cargo xtask generate`
within one level of 255, so that both sides are known to train the same network. Then, after 16
steps of warming up, STEPS steps (a multiple of 16, so that the lazy regularizers have their share)
are timed. The result is one line of JSON on standard output; `sec_per_kimg` is the seconds per
1000 pictures shown, all phases included, to be held against the column of that name in our
`stats.jsonl`. See README.md beside this file.
"""

import argparse
import json
import math
import shlex
import subprocess
import tempfile
import time
from collections import Counter, OrderedDict
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

WARM_UP_STEPS = 16
CHECKED_SEEDS = range(4)
LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)
FILTER = (1.0, 3.0, 3.0, 1.0)

# Operations


def lrelu(x):
    """Leaky ReLU in place. Its gain is part of what comes before: lrelu(g * x) = g * lrelu(x)."""
    return F.leaky_relu_(x, LRELU_SLOPE)


def fir(gain, channels):
    """The resampling filter for a depthwise convolution; symmetric, so never flipped."""
    taps = torch.tensor(FILTER)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    return (kernel * gain).expand(channels, 1, -1, -1).contiguous()


def empty_parameter(*shape):
    """A parameter that the checkpoint fills."""
    return nn.Parameter(torch.empty(shape))


class Dense(nn.Module):
    """Fully connected layer with equalized learning rate."""

    def __init__(self, inputs, outputs, gain=1.0, lr_multiplier=1.0):
        super().__init__()
        self.weight = empty_parameter(outputs, inputs)
        self.bias = empty_parameter(outputs)
        self.weight_gain = gain * lr_multiplier / math.sqrt(inputs)
        self.bias_gain = gain * lr_multiplier

    def forward(self, x):
        bias = self.bias if self.bias_gain == 1 else self.bias * self.bias_gain
        return F.linear(x, self.weight * self.weight_gain, bias)


# Generator


class Mapping(nn.ModuleDict):
    """z `[N, z_dim]` to w `[N, w_dim]`."""

    def __init__(self, z_dim, w_dim, layers, lr_multiplier):
        widths = [z_dim] + [w_dim] * (layers - 1)
        dense = (Dense(width, w_dim, LRELU_GAIN, lr_multiplier) for width in widths)
        super().__init__({f"fc{i}": layer for i, layer in enumerate(dense)})
        self.register_buffer("w_avg", torch.empty(w_dim))

    def forward(self, z):
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.values():
            x = lrelu(layer(x))
        return x


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU; doubles the resolution where `up`.

    Modulates the activations, not the weights of every sample: on the CPU the faster form.
    """

    def __init__(self, inputs, outputs, w_dim, resolution, up):
        super().__init__()
        self.affine = Dense(w_dim, inputs)
        self.weight = empty_parameter(outputs, inputs, 3, 3)
        self.bias = empty_parameter(outputs)
        self.noise_strength = empty_parameter()
        self.register_buffer("noise_const", torch.empty(resolution, resolution))
        self.up = up
        if up:
            self.register_buffer("filter", fir(4.0, outputs), persistent=False)

    def forward(self, x, w, random_noise):
        style = self.affine(w)
        weight_energy = self.weight.square().sum((2, 3))
        demodulation = torch.rsqrt(style.square() @ weight_energy.t() + 1e-8) * LRELU_GAIN
        bias = (self.bias * LRELU_GAIN).view(1, -1, 1, 1)
        y = self.convolve(x * style[:, :, None, None])
        y = torch.addcmul(bias, y, demodulation[:, :, None, None])
        noise = self.noise_const
        if random_noise:
            noise = torch.randn(len(y), 1, *noise.shape)
        return lrelu(y.add_(noise * (self.noise_strength * LRELU_GAIN)))

    def convolve(self, x):
        if not self.up:
            return F.conv2d(x, self.weight, padding=1)
        x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
        return F.conv2d(x, self.filter, padding=1, groups=x.shape[1])


class ToRgb(nn.Module):
    """1x1 modulated convolution without demodulation, as one matrix product per sample.

    Between the permutations, which copy nothing in `channels_last`, it is `[N, pixels, channels]`.
    """

    def __init__(self, inputs, channels, w_dim):
        super().__init__()
        self.affine = Dense(w_dim, inputs, gain=1 / math.sqrt(inputs))
        self.weight = empty_parameter(channels, inputs, 1, 1)
        self.bias = empty_parameter(channels)

    def forward(self, x, w):
        weight = self.weight.flatten(1) * self.affine(w)[:, None, :]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        image = torch.baddbmm(self.bias, pixels, weight.transpose(1, 2))
        return image.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class SynthesisBlock(nn.Module):
    """The layers of one resolution."""

    def __init__(self, config, resolution):
        super().__init__()
        w_dim, colors = config["w_dim"], config["img_channels"]
        channels = channels_at(config, resolution)
        if resolution == 4:
            self.const = empty_parameter(channels, 4, 4)
        else:
            before = channels_at(config, resolution // 2)
            self.conv0 = SynthesisLayer(before, channels, w_dim, resolution, up=True)
            self.register_buffer("filter", fir(4.0, colors), persistent=False)
        self.conv1 = SynthesisLayer(channels, channels, w_dim, resolution, up=False)
        self.torgb = ToRgb(channels, colors, w_dim)

    def forward(self, x, image, ws, random_noise):
        """`ws` are those of the block's layers in turn, the last one for toRGB."""
        if x is None:
            x = self.conv1(self.const.expand(len(ws[0]), -1, -1, -1), ws[0], random_noise)
            return x, self.torgb(x, ws[1])
        x = self.conv0(x, ws[0], random_noise)
        x = self.conv1(x, ws[1], random_noise)
        image = F.conv_transpose2d(image, self.filter, stride=2, padding=1, groups=image.shape[1])
        return x, image + self.torgb(x, ws[2])


class Synthesis(nn.ModuleDict):
    """ws `[N, num_ws, w_dim]` to images, skip architecture."""

    def __init__(self, config):
        super().__init__({f"b{r}": SynthesisBlock(config, r) for r in resolutions(config)})
        self.num_ws = 2 * len(self)

    def forward(self, ws, random_noise=True):
        ws = ws.unbind(1)
        x = image = None
        # A block's toRGB shares its w with the next block's first layer.
        for i, block in enumerate(self.values()):
            x, image = block(x, image, ws[max(2 * i - 1, 0) :], random_noise)
        return image


class Generator(nn.Module):
    """Both networks that make a picture from z."""

    def __init__(self, config):
        super().__init__()
        mapping, synthesis = config["mapping"], config["synthesis"]
        self.mapping = Mapping(
            config["z_dim"], synthesis["w_dim"], mapping["num_layers"], mapping["lr_multiplier"]
        )
        self.synthesis = Synthesis(synthesis)

    def broadcast(self, w):
        """w `[N, w_dim]` to ws `[N, num_ws, w_dim]`."""
        return w[:, None].expand(-1, self.synthesis.num_ws, -1)


# Discriminator


class Conv(nn.Module):
    """Convolution with equalized learning rate; `gain` is that of the activation that follows."""

    def __init__(self, inputs, outputs, kernel, gain, bias=True, stride=1, padding=0):
        super().__init__()
        self.weight = empty_parameter(outputs, inputs, kernel, kernel)
        self.bias = empty_parameter(outputs) if bias else None
        self.gain, self.weight_gain = gain, gain / math.sqrt(inputs * kernel * kernel)
        self.stride, self.padding = stride, padding

    def forward(self, x):
        bias = None if self.bias is None else self.bias * self.gain
        return F.conv2d(x, self.weight * self.weight_gain, bias, self.stride, self.padding)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution; both branches carry sqrt(1/2)."""

    def __init__(self, config, resolution):
        super().__init__()
        inputs, outputs = channels_at(config, resolution), channels_at(config, resolution // 2)
        half = math.sqrt(0.5)
        is_first = resolution == config["img_resolution"]
        self.fromrgb = Conv(config["img_channels"], inputs, 1, LRELU_GAIN) if is_first else None
        self.conv0 = Conv(inputs, inputs, 3, LRELU_GAIN, padding=1)
        self.conv1 = Conv(inputs, outputs, 3, LRELU_GAIN * half, stride=2)
        self.skip = Conv(inputs, outputs, 1, half, bias=False)
        self.register_buffer("filter", fir(1.0, inputs), persistent=False)

    def forward(self, x):
        if self.fromrgb is not None:
            x = lrelu(self.fromrgb(x))
        groups = x.shape[1]
        y = F.conv2d(lrelu(self.conv0(x)), self.filter, padding=2, groups=groups)
        x = F.conv2d(x, self.filter, stride=2, padding=1, groups=groups)
        return self.skip(x) + lrelu(self.conv1(y))


class Epilogue(nn.Module):
    """Minibatch standard deviation, a convolution and two fully connected layers at 4x4."""

    def __init__(self, config):
        super().__init__()
        channels = channels_at(config, 4)
        self.group_size = config["mbstd_group_size"]
        self.conv = Conv(channels + 1, channels, 3, LRELU_GAIN, padding=1)
        self.fc = Dense(channels * 16, channels, LRELU_GAIN)
        self.out = Dense(channels, 1)

    def forward(self, x):
        groups = x.unflatten(0, (self.group_size, -1))
        deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        channel = deviation.repeat(self.group_size)[:, None, None, None]
        x = torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], 1)
        x = lrelu(self.conv(x))
        return self.out(lrelu(self.fc(x.flatten(1))))


def discriminator(config):
    """Images to logits `[N, 1]`, resnet architecture."""
    descending = resolutions(config)[:0:-1]
    blocks = [(f"b{r}", DiscriminatorBlock(config, r)) for r in descending]
    return nn.Sequential(OrderedDict([*blocks, ("b4", Epilogue(config))]))


# Training


class Trainer:
    """One step is Gmain, Greg where due, Dmain, Dreg where due, and the moving average."""

    def __init__(self, config, g, d, g_ema, images_seen, pl_mean):
        self.config, self.loss = config, config["loss"]
        self.g, self.d, self.g_ema = g, d, g_ema
        self.images_seen, self.pl_mean = images_seen, pl_mean
        self.steps = 0
        self.seconds = Counter()
        optimizer = config["optimizer"]
        self.g_adam = lazy_adam(g, optimizer, "g_lr", self.loss["g_reg_interval"])
        self.d_adam = lazy_adam(d, optimizer, "d_lr", self.loss["d_reg_interval"])

    def step(self, reals):
        loss = self.loss
        self.d.requires_grad_(False)
        with self.phase("Gmain", self.g_adam):
            self.g_main()
        if self.steps % loss["g_reg_interval"] == 0:
            with self.phase("Greg", self.g_adam):
                self.g_reg(loss["pl_weight"] * loss["g_reg_interval"])
        self.d.requires_grad_(True)
        with self.phase("Dmain", self.d_adam):
            self.d_main(reals)
        if self.steps % loss["d_reg_interval"] == 0:
            with self.phase("Dreg", self.d_adam):
                self.d_reg(reals, loss["r1_gamma"] / 2 * loss["d_reg_interval"])
        self.update_average()
        self.images_seen += len(reals)
        self.steps += 1

    @contextmanager
    def phase(self, name, adam):
        """Gathers gradients, and ends with a step of the optimizer."""
        start = time.perf_counter()
        adam.zero_grad()
        yield
        # A regularizer doesn't depend on all parameters; their moments decay all the same.
        for parameter in adam.param_groups[0]["params"]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        adam.step()
        self.seconds[name] += time.perf_counter() - start

    def draw_ws(self, n):
        """Latents through the mapping network, usually of two styles: w and ws."""
        z_dim, num_ws = self.config["generator"]["z_dim"], self.g.synthesis.num_ws
        w = self.g.mapping(torch.randn(n, z_dim))
        ws = self.g.broadcast(w)
        if np.random.random() < self.loss["style_mixing_prob"]:
            cutoff = np.random.randint(1, num_ws)
            second = self.g.broadcast(self.g.mapping(torch.randn(n, z_dim)))
            ws = torch.cat([ws[:, :cutoff], second[:, cutoff:]], 1)
        return w, ws

    def g_main(self):
        w, ws = self.draw_ws(self.config["batch"])
        self.backward(F.softplus(-self.d(self.g.synthesis(ws))).mean())
        w_avg = self.g.mapping.w_avg
        w_avg.lerp_(w.detach().mean(0), 1 - self.config["ema"]["w_avg_beta"])

    def g_reg(self, weight):
        """Path length regularization."""
        _, ws = self.draw_ws(self.config["batch"] // self.loss["pl_batch_shrink"])
        images = self.g.synthesis(ws)
        noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (jacobian,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = jacobian.square().sum(2).mean(1).sqrt()
        self.pl_mean += self.loss["pl_decay"] * (lengths.detach().mean().item() - self.pl_mean)
        self.backward((lengths - self.pl_mean).square().mean() * weight)

    def d_main(self, reals):
        """Generated and real images apart, so that minibatch statistics don't mix them."""
        with torch.no_grad():
            _, ws = self.draw_ws(len(reals))
            fakes = self.g.synthesis(ws)
        self.backward(F.softplus(self.d(fakes)).mean())
        self.backward(F.softplus(-self.d(reals)).mean())

    def d_reg(self, reals, weight):
        """R1."""
        reals = reals.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.d(reals).sum(), reals, create_graph=True)
        self.backward(gradient.square().sum((1, 2, 3)).mean() * weight)

    def backward(self, loss):
        if not math.isfinite(loss.item()):
            raise SystemExit(f"step {self.steps}: a loss is {loss.item()}: the training diverged")
        loss.backward()

    @torch.no_grad()
    def update_average(self):
        ema = self.config["ema"]
        half_life = ema["kimg"] * 1000
        if ema["rampup"] is not None:
            half_life = min(half_life, self.images_seen * ema["rampup"])
        beta = 0.5 ** (self.config["batch"] / half_life) if half_life > 0 else 0.0
        averages, values = list(self.g_ema.parameters()), list(self.g.parameters())
        get_ema_multi_avg_fn(beta)(averages, values, None)
        for average, value in zip(self.g_ema.buffers(), self.g.buffers(), strict=True):
            average.copy_(value)


def lazy_adam(network, optimizer, lr, interval):
    """Adam, corrected for the additional steps of a lazy regularizer."""
    c = interval / (interval + 1)
    betas = (optimizer["beta1"] ** c, optimizer["beta2"] ** c)
    parameters = list(network.parameters())
    return torch.optim.Adam(parameters, optimizer[lr] * c, betas, optimizer["eps"], fused=True)


# Checkpoint and comparison


def resolutions(config):
    return [2**i for i in range(2, int(math.log2(config["img_resolution"])) + 1)]


def channels_at(config, resolution):
    return min(config["channel_base"] // resolution, config["channel_max"])


def load(path):
    """The training configuration, the counters and the tensors of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "stylegan-rs" not in metadata:
            raise SystemExit(f"--checkpoint {path}: expected a checkpoint of `cargo xtask train`")
        document = json.loads(metadata["stylegan-rs"])["document"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    check_supported(document["config"])
    return document["config"], document["training"], tensors


def check_supported(config):
    """Ends with a message where the checkpoint asks for what this file doesn't implement."""
    generator, discriminator, loss = (config[k] for k in ("generator", "discriminator", "loss"))
    synthesis = generator["synthesis"]
    expected = [
        ("batch_gpu", config["batch_gpu"], config["batch"]),
        ("generator.c_dim", generator["c_dim"], 0),
        ("synthesis.architecture", synthesis["architecture"], "skip"),
        ("synthesis.conv_clamp", synthesis["conv_clamp"], None),
        ("synthesis.resample_filter", synthesis["resample_filter"], list(FILTER)),
        ("discriminator.architecture", discriminator["architecture"], "resnet"),
        ("discriminator.conv_clamp", discriminator["conv_clamp"], None),
        ("discriminator.resample_filter", discriminator["resample_filter"], list(FILTER)),
        ("discriminator.mbstd_num_channels", discriminator["mbstd_num_channels"], 1),
        ("discriminator.mbstd_group_size", discriminator["mbstd_group_size"], 4),
        ("loss.adversarial", loss["adversarial"], "logistic"),
        ("loss.g_reg_interval", loss["g_reg_interval"], 4),
        ("loss.d_reg_interval", loss["d_reg_interval"], 16),
        ("loss.r2_gamma", loss["r2_gamma"], 0.0),
    ]
    for name, value, wanted in expected:
        if value != wanted:
            raise SystemExit(f"--checkpoint: {name} is {value}, but only {wanted} is implemented")


def fill(network, tensors, prefix):
    """Loads the tensors under `prefix`, all of them and no others.

    `channels_last` makes PyTorch's convolutions a quarter faster on the CPU.
    """
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    network.load_state_dict(state)
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def largest_difference(g_ema, z_dim, checkpoint, command):
    """In levels of 255, between this file's pictures of some seeds and those of `generate`."""
    seeds = f"{CHECKED_SEEDS.start}-{CHECKED_SEEDS.stop - 1}"
    largest = 0
    with tempfile.TemporaryDirectory() as folder:
        options = ["--trunc", "1", "--noise-mode", "const", "--seeds", seeds, "--outdir", folder]
        command = [*shlex.split(command), "generate", "--network", checkpoint.resolve(), *options]
        repository = Path(__file__).resolve().parents[2]
        subprocess.run(command, cwd=repository, stdout=subprocess.DEVNULL, check=True)
        for seed in CHECKED_SEEDS:
            z = torch.from_numpy(np.random.RandomState(seed).randn(1, z_dim).astype(np.float32))
            image = g_ema.synthesis(g_ema.broadcast(g_ema.mapping(z)), random_noise=False)
            here = ((image[0] + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
            there = np.asarray(Image.open(Path(folder, f"seed{seed:04}.png")), np.float32)
            largest = max(largest, int(np.abs(here - there).max()))
    return largest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of `cargo xtask train`")
    parser.add_argument("--steps", type=int, default=64, help="a multiple of 16 (default: 64)")
    parser.add_argument("--threads", type=int, default=2, help="to compute with (default: 2)")
    parser.add_argument(
        "--command",
        default="cargo xtask",
        help="what runs `generate`, to compare pictures (default: cargo xtask)",
    )
    args = parser.parse_args()
    if args.steps < 16 or args.steps % 16 != 0:
        parser.error(f"--steps {args.steps}: must be a positive multiple of 16")
    if not args.checkpoint.is_file():
        parser.error(f"--checkpoint {args.checkpoint}: no such file")

    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)

    config, training, tensors = load(args.checkpoint)
    g = fill(Generator(config["generator"]), tensors, "G.")
    g_ema = fill(deepcopy(g), tensors, "G_ema.").requires_grad_(False)
    d = fill(discriminator(config["discriminator"]), tensors, "D.")

    z_dim = config["generator"]["z_dim"]
    difference = largest_difference(g_ema, z_dim, args.checkpoint, args.command)
    if difference > 1:
        raise SystemExit(f"not the same networks: pictures differ by up to {difference} of 255")

    trainer = Trainer(config, g, d, g_ema, training["images_seen"], training["pl_mean"])
    batch, side = config["batch"], config["discriminator"]["img_resolution"]
    # The time doesn't depend on what the pictures show.
    reals = torch.rand(batch, config["discriminator"]["img_channels"], side, side) * 2 - 1
    reals = reals.contiguous(memory_format=torch.channels_last)
    for _ in range(WARM_UP_STEPS):
        trainer.step(reals)
    trainer.seconds.clear()
    start = time.perf_counter()
    for _ in range(args.steps):
        trainer.step(reals)
    seconds = time.perf_counter() - start

    kimg = args.steps * batch / 1000
    result = {
        "sec_per_kimg": round(seconds / kimg, 3),
        "phase_sec_per_kimg": {k: round(v / kimg, 3) for k, v in trainer.seconds.items()},
        "steps": args.steps,
        "batch": batch,
        "threads": args.threads,
        "picture_difference": difference,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
