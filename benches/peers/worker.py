#!/usr/bin/env python3
"""One peer on one piece of work, in a process of its own so that its memory is its own.

    python worker.py --peer pytorch --work generate --file NETWORKS --threads 2 --tune
    python worker.py --peer pytorch --work generate --file NETWORKS --threads 2 --variant NAME

NETWORKS is what `cargo xtask bench ... --export` wrote: configuration, weights, inputs and results. With --tune, all
variants of the peer are tried, and the fastest one's name is the answer. Otherwise the variant's results are compared
with those of the file; then every line on standard input asks for a turn. Answers are lines of JSON on standard
output.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
from safetensors import safe_open

# Largest deviation from our results, relative to their root mean square.
TOLERANCE = 1e-3
# Seconds and calls of a turn, at least.
TURN_SECONDS, TURN_CALLS = 2.0, 3
# Steps that have every regularizer in them as often as it is due.
PERIOD = 16
# How a layer modulates: its activations, or its weights, a set for every sample. As in networks.py.
FORMS = ["activations", "weights"]


def load(path):
    """The configuration and the tensors."""
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["stylegan-rs"])["document"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    check_supported(document["config"])
    return document["config"], tensors


def check_supported(config):
    """Ends with a message where the file asks for what networks.py doesn't implement."""
    generator, discriminator, loss = (config[k] for k in ("generator", "discriminator", "loss"))
    synthesis = generator["synthesis"]
    filter = [1.0, 3.0, 3.0, 1.0]
    expected = [
        ("batch_gpu", config["batch_gpu"], config["batch"]),
        ("generator.c_dim", generator["c_dim"], 0),
        ("synthesis.architecture", synthesis["architecture"], "skip"),
        ("synthesis.conv_clamp", synthesis["conv_clamp"], None),
        ("synthesis.resample_filter", synthesis["resample_filter"], filter),
        ("discriminator.architecture", discriminator["architecture"], "resnet"),
        ("discriminator.conv_clamp", discriminator["conv_clamp"], None),
        ("discriminator.resample_filter", discriminator["resample_filter"], filter),
        ("discriminator.mbstd_num_channels", discriminator["mbstd_num_channels"], 1),
        ("loss.adversarial", loss["adversarial"], "logistic"),
        ("loss.r2_gamma", loss["r2_gamma"], 0.0),
        ("loss.g_reg_interval", loss["g_reg_interval"], 4),
        ("loss.d_reg_interval", loss["d_reg_interval"], PERIOD),
    ]
    for name, value, wanted in expected:
        if value != wanted:
            raise SystemExit(f"{name} is {value}, but only {wanted} is implemented")


def check(name, got, expected):
    """The largest deviation relative to the root mean square of what is expected; ends where it is too large."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.shape != expected.shape:
        raise SystemExit(f"{name}: expected the shape {expected.shape}, got {got.shape}")
    found = np.abs(got - expected).max() / np.sqrt(np.square(expected).mean())
    if not found <= TOLERANCE:
        raise SystemExit(
            f"not the same networks: {name} deviate by {found:.1e} of their root mean square; "
            f"expected at most {TOLERANCE:.0e}"
        )
    return float(found)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Generate:
    """A peer that makes pictures: turns of calls."""

    def __init__(self, config, tensors, args):
        self.config, self.tensors, self.args = config, tensors, args
        self.z = tensors["expected.z"]

    def prepare(self, variant):
        self.call = self.make(variant)

    def compare(self):
        return check("pictures", self.call(), self.tensors["expected.images"])

    def trial(self):
        self.call()
        return min(timed(self.call) for _ in range(2))

    def turn(self):
        seconds = [timed(self.call)]
        while len(seconds) < TURN_CALLS or sum(seconds) < TURN_SECONDS:
            seconds.append(timed(self.call))
        return statistics.median(seconds)


def torch_variants():
    """Names of the variants of a network in PyTorch, with the form of modulation and the memory format."""
    import torch

    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    return {
        f"modulated {form}, {name}": (form, memory_format)
        for form in FORMS
        for name, memory_format in formats.items()
    }


def set_up_torch(args):
    import torch

    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)


def fill(network, tensors, prefix):
    """Loads the tensors under `prefix`, all of them and no others."""
    import torch

    section = ((k, v) for k, v in tensors.items() if k.startswith(prefix))
    network.load_state_dict({k.removeprefix(prefix): torch.from_numpy(v) for k, v in section})
    return network


def generator(config, tensors, form):
    import networks

    g = fill(networks.Generator(config["generator"], form), tensors, "G.")
    return g.eval().requires_grad_(False)


class PyTorch(Generate):
    """Eager, or compiled."""

    def __init__(self, config, tensors, args, compiled=False):
        super().__init__(config, tensors, args)
        set_up_torch(args)
        self.compiled = compiled

    def variants(self):
        return list(torch_variants())

    def make(self, variant):
        import torch

        form, memory_format = torch_variants()[variant]
        g = generator(self.config, self.tensors, form).to(memory_format=memory_format)
        g = torch.compile(g) if self.compiled else g
        z = torch.from_numpy(self.z)

        def call():
            with torch.inference_mode():
                return g(z)

        # Compiles, and packs weights.
        call()
        return call


class Onnx(Generate):
    """A runtime that takes ONNX files."""

    def variants(self):
        return [f"modulated {form}" for form in FORMS]

    def make(self, variant):
        form = variant.removeprefix("modulated ")
        call = self.session(self.file(form))
        call()
        return call

    def file(self, form):
        """The generator as an ONNX file, which --tune makes: PyTorch's memory is not the runtime's."""
        path = self.args.file.with_suffix(f".{form}.onnx")
        if self.args.tune and not path.exists():
            import torch

            g, z = generator(self.config, self.tensors, form), torch.from_numpy(self.z)
            with open(os.devnull, "w") as silence:
                # The exporter tells its progress on standard output, which has the answers.
                stdout, sys.stdout = sys.stdout, silence
                torch.onnx.export(g, (z,), path, input_names=["z"], dynamo=True, external_data=False)
                sys.stdout = stdout
        return path


class OnnxRuntime(Onnx):
    def session(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.args.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda: session.run(None, {"z": self.z})[0]


class OpenVino(Onnx):
    def session(self, path):
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": self.args.threads,
            "PERFORMANCE_HINT": "LATENCY",
            # It would take bfloat16 where the processor has it.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
        return lambda: request.infer([self.z], share_inputs=True)[0]


class PyTorchTraining:
    """Turns of as many steps as have every regularizer in them.

    Compiled networks serve the phases of first order: PyTorch can't differentiate them twice.
    """

    def __init__(self, config, tensors, args, compiled=False):
        set_up_torch(args)
        self.config, self.tensors, self.compiled = config, tensors, compiled

    def variants(self):
        return list(torch_variants())

    def prepare(self, variant):
        import networks
        import torch
        import training

        form, memory_format = torch_variants()[variant]
        g = fill(networks.Generator(self.config["generator"], form), self.tensors, "G.")
        d = fill(networks.discriminator(self.config["discriminator"]), self.tensors, "D.")
        self.g, self.d = (network.to(memory_format=memory_format) for network in (g, d))
        g_ema = deepcopy(self.g).requires_grad_(False)
        compile = torch.compile if self.compiled else (lambda network: network)
        self.trainer = training.Trainer(self.config, self.g, self.d, g_ema, compile)
        reals = torch.from_numpy(self.tensors["expected.reals"])
        self.reals = reals.contiguous(memory_format=memory_format)

    def compare(self):
        """Pictures, logits and the gradients that the regularizers are made of; then the first steps."""
        import torch
        import training

        expected = {k.removeprefix("expected."): v for k, v in self.tensors.items()}
        z, noise = (torch.from_numpy(expected[name]) for name in ("z", "image_noise"))
        ws = self.g.broadcast(self.g.mapping(z)).detach().requires_grad_()
        images = self.g.synthesis(ws, random_noise=False)
        lengths = training.path_lengths(images, noise, ws)
        logits, penalties = training.r1_penalties(self.d, self.reals)
        found = max(
            check("pictures", images.detach(), expected["images"]),
            check("path lengths", lengths.detach(), expected["path_lengths"]),
            check("logits", logits.detach(), expected["logits"]),
            check("R1 penalties", penalties.detach(), expected["r1_penalties"]),
        )
        self.trial()
        return found

    def trial(self):
        self.trainer.step(self.reals)
        return min(timed(lambda: self.trainer.step(self.reals)) for _ in range(2))

    def turn(self):
        return timed(lambda: [self.trainer.step(self.reals) for _ in range(PERIOD)]) / PERIOD


PEERS = {
    ("pytorch", "generate"): PyTorch,
    ("torch-compile", "generate"): lambda *args: PyTorch(*args, compiled=True),
    ("onnxruntime", "generate"): OnnxRuntime,
    ("openvino", "generate"): OpenVino,
    ("pytorch", "train-step"): PyTorchTraining,
    ("torch-compile", "train-step"): lambda *args: PyTorchTraining(*args, compiled=True),
}


def fastest_variant(peer):
    seconds = {}
    for variant in peer.variants():
        peer.prepare(variant)
        seconds[variant] = peer.trial()
    return min(seconds, key=seconds.get)


def peak_memory_bytes():
    """The most memory that the process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def answer(**values):
    print(json.dumps(values), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", choices=sorted({peer for peer, _ in PEERS}), required=True)
    parser.add_argument("--work", choices=["generate", "train-step"], required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--variant")
    args = parser.parse_args()
    if args.tune == (args.variant is not None):
        parser.error("expected one of --tune and --variant")
    peer = PEERS[args.peer, args.work](*load(args.file), args)
    if args.tune:
        return answer(variant=fastest_variant(peer))
    peer.prepare(args.variant)
    answer(deviation=peer.compare())
    for _ in sys.stdin:
        answer(seconds=peer.turn(), peak_memory_bytes=peak_memory_bytes())


if __name__ == "__main__":
    main()
