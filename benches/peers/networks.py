"""StyleGAN2's networks in PyTorch, for the CPU.

Written from the formulas of "Analyzing and Improving the Image Quality of StyleGAN" (Karras et al. 2020), in the
forms that are fastest in PyTorch. Names of parameters are those of stylegan-rs, whose weights they take.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)
FILTER = (1.0, 3.0, 3.0, 1.0)

# How a layer modulates: its activations before and after the convolution, or its weights, a set for every sample.
ACTIVATIONS, WEIGHTS = "activations", "weights"


def lrelu(x):
    """Leaky ReLU in place. Its gain is part of what comes before: lrelu(g * x) = g * lrelu(x)."""
    return F.leaky_relu_(x, LRELU_SLOPE)


def fir(gain, channels):
    """The resampling filter for a depthwise convolution; symmetric, so never flipped."""
    taps = torch.tensor(FILTER)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    return (kernel * gain).expand(channels, 1, -1, -1).contiguous()


def empty_parameter(*shape):
    """A parameter that a file fills."""
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
    """Modulated 3x3 convolution, noise, bias and leaky ReLU; doubles the resolution where `up`."""

    def __init__(self, inputs, outputs, w_dim, resolution, up, form):
        super().__init__()
        self.affine = Dense(w_dim, inputs)
        self.weight = empty_parameter(outputs, inputs, 3, 3)
        self.bias = empty_parameter(outputs)
        self.noise_strength = empty_parameter()
        self.register_buffer("noise_const", torch.empty(resolution, resolution))
        self.up, self.form = up, form
        if up:
            self.register_buffer("filter", fir(4.0, outputs), persistent=False)

    def forward(self, x, w, random_noise):
        style = self.affine(w)
        bias = (self.bias * LRELU_GAIN).view(1, -1, 1, 1)
        if self.form == ACTIVATIONS:
            energy = self.weight.square().sum((2, 3))
            demodulation = torch.rsqrt(style.square() @ energy.t() + 1e-8) * LRELU_GAIN
            y = self.convolve(x * style[:, :, None, None], self.weight, 1)
            y = torch.addcmul(bias, y, demodulation[:, :, None, None])
        else:
            n = len(x)
            weight = self.weight * style[:, None, :, None, None]
            demodulation = torch.rsqrt(weight.square().sum((2, 3, 4)) + 1e-8) * LRELU_GAIN
            weight = weight * demodulation[:, :, None, None, None]
            if n == 1:
                y = self.convolve(x, weight[0], 1)
            else:
                y = self.convolve(x.flatten(0, 1)[None], weight.flatten(0, 1), n)
                y = y.unflatten(1, (n, -1))[0]
            y = y + bias
        noise = self.noise_const
        if random_noise:
            noise = torch.randn(len(y), 1, *noise.shape)
        return lrelu(y.add_(noise * (self.noise_strength * LRELU_GAIN)))

    def convolve(self, x, weight, groups):
        """With `weight` `[groups * O, I, 3, 3]`."""
        if not self.up:
            return F.conv2d(x, weight, padding=1, groups=groups)
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        x = F.conv_transpose2d(x, weight, stride=2, groups=groups)
        filter = self.filter if groups == 1 else self.filter.repeat(groups, 1, 1, 1)
        return F.conv2d(x, filter, padding=1, groups=x.shape[1])


class ToRgb(nn.Module):
    """1x1 modulated convolution without demodulation, as one matrix product per sample.

    Between the permutations, which copy nothing, it is `[N, pixels, channels]`.
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

    def __init__(self, config, resolution, form):
        super().__init__()
        w_dim, colors = config["w_dim"], config["img_channels"]
        channels = channels_at(config, resolution)
        if resolution == 4:
            self.const = empty_parameter(channels, 4, 4)
        else:
            before = channels_at(config, resolution // 2)
            self.conv0 = SynthesisLayer(before, channels, w_dim, resolution, True, form)
            self.register_buffer("filter", fir(4.0, colors), persistent=False)
        self.conv1 = SynthesisLayer(channels, channels, w_dim, resolution, False, form)
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

    def __init__(self, config, form):
        super().__init__({f"b{r}": SynthesisBlock(config, r, form) for r in resolutions(config)})
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

    def __init__(self, config, form=ACTIVATIONS):
        super().__init__()
        mapping, synthesis = config["mapping"], config["synthesis"]
        self.mapping = Mapping(
            config["z_dim"], synthesis["w_dim"], mapping["num_layers"], mapping["lr_multiplier"]
        )
        self.synthesis = Synthesis(synthesis, form)

    def broadcast(self, w):
        """w `[N, w_dim]` to ws `[N, num_ws, w_dim]`."""
        return w[:, None].expand(-1, self.synthesis.num_ws, -1)

    def forward(self, z):
        """Pictures with constant noise, not truncated."""
        return self.synthesis(self.broadcast(self.mapping(z)), random_noise=False)


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


def resolutions(config):
    return [2**i for i in range(2, int(math.log2(config["img_resolution"])) + 1)]


def channels_at(config, resolution):
    return min(config["channel_base"] // resolution, config["channel_max"])
