"""StyleGAN2's training step in PyTorch: all four phases, regularizers lazily.

From "Analyzing and Improving the Image Quality of StyleGAN" and "Training Generative Adversarial Networks with
Limited Data" (Karras et al. 2020).
"""

import math

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Trainer:
    """One step is Gmain, Greg where due, Dmain, Dreg where due, and the moving average.

    `compile` is applied to both networks for the phases of first order. What it makes can't be differentiated twice.
    """

    def __init__(self, config, g, d, g_ema, compile=lambda network: network):
        self.config, self.loss = config, config["loss"]
        self.g, self.d, self.g_ema = g, d, g_ema
        self.fast_synthesis, self.fast_d = compile(g.synthesis), compile(d)
        self.images_seen, self.steps, self.pl_mean = 0, 0, 0.0
        optimizer = config["optimizer"]
        self.g_adam = lazy_adam(g, optimizer, "g_lr", self.loss["g_reg_interval"])
        self.d_adam = lazy_adam(d, optimizer, "d_lr", self.loss["d_reg_interval"])
        self.random = torch.Generator().manual_seed(0)

    def step(self, reals):
        loss = self.loss
        self.d.requires_grad_(False)
        self.g_adam.zero_grad()
        self.g_main()
        self.update(self.g_adam)
        if self.steps % loss["g_reg_interval"] == 0:
            self.g_adam.zero_grad()
            self.g_reg(loss["pl_weight"] * loss["g_reg_interval"])
            self.update(self.g_adam)
        self.d.requires_grad_(True)
        self.d_adam.zero_grad()
        self.d_main(reals)
        self.update(self.d_adam)
        if self.steps % loss["d_reg_interval"] == 0:
            self.d_adam.zero_grad()
            self.d_reg(reals, loss["r1_gamma"] / 2 * loss["d_reg_interval"])
            self.update(self.d_adam)
        self.update_average()
        self.images_seen += len(reals)
        self.steps += 1

    @staticmethod
    def update(adam):
        # A regularizer doesn't depend on all parameters; their moments decay all the same.
        for parameter in adam.param_groups[0]["params"]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        adam.step()

    def draw_ws(self, n):
        """Latents through the mapping network, usually of two styles: w and ws."""
        z_dim, num_ws = self.config["generator"]["z_dim"], self.g.synthesis.num_ws
        w = self.g.mapping(torch.randn(n, z_dim))
        ws = self.g.broadcast(w)
        if torch.rand((), generator=self.random).item() < self.loss["style_mixing_prob"]:
            cutoff = torch.randint(1, num_ws, (), generator=self.random).item()
            second = self.g.broadcast(self.g.mapping(torch.randn(n, z_dim)))
            # By a mask: of one shape whatever the cutoff is, which compiled networks need.
            first = (torch.arange(num_ws) < cutoff)[None, :, None]
            ws = torch.where(first, ws, second)
        return w, ws

    def g_main(self):
        w, ws = self.draw_ws(self.config["batch"])
        self.backward(F.softplus(-self.fast_d(self.fast_synthesis(ws))).mean())
        w_avg = self.g.mapping.w_avg
        w_avg.lerp_(w.detach().mean(0), 1 - self.config["ema"]["w_avg_beta"])

    def g_reg(self, weight):
        """Path length, on a part of the batch."""
        n = -(-self.config["batch"] // self.loss["pl_batch_shrink"])
        _, ws = self.draw_ws(n)
        images = self.g.synthesis(ws)
        lengths = path_lengths(images, image_noise(images), ws)
        self.pl_mean += self.loss["pl_decay"] * (lengths.detach().mean().item() - self.pl_mean)
        self.backward((lengths - self.pl_mean).square().mean() * weight)

    def d_main(self, reals):
        """Generated and real images apart, so that minibatch statistics don't mix them."""
        with torch.no_grad():
            _, ws = self.draw_ws(len(reals))
            fakes = self.fast_synthesis(ws)
        self.backward(F.softplus(self.fast_d(fakes)).mean())
        self.backward(F.softplus(-self.fast_d(reals)).mean())

    def d_reg(self, reals, weight):
        """R1."""
        self.backward(r1_penalties(self.d, reals)[1].mean() * weight)

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


def image_noise(images):
    return torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])


def path_lengths(images, noise, ws):
    """Of every sample, `[N]`, differentiable."""
    (jacobian,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return jacobian.square().sum(2).mean(1).sqrt()


def r1_penalties(d, reals):
    """Logits, and the squared norm of their gradient for every sample, `[N]`, differentiable."""
    reals = reals.detach().requires_grad_()
    logits = d(reals)
    (gradient,) = torch.autograd.grad(logits.sum(), reals, create_graph=True)
    return logits, gradient.square().sum((1, 2, 3))


def lazy_adam(network, optimizer, lr, interval):
    """Adam, corrected for the additional steps of a lazy regularizer."""
    c = interval / (interval + 1)
    betas = (optimizer["beta1"] ** c, optimizer["beta2"] ** c)
    parameters = list(network.parameters())
    return torch.optim.Adam(parameters, optimizer[lr] * c, betas, optimizer["eps"], fused=True)
