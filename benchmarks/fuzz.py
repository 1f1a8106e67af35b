"""Damaged input of every kind, at random: ``python -m benchmarks.fuzz``. Each case works or ends in its one error.

Pictures are decoded as the app decodes them. Checkpoints are loaded; with lists of interventions a small model runs.
What the browser reads of a layer is read by the same JavaScript, in Node. A case follows from its kind, its number and
the seed, so any one can be made again: ``--only KIND --first N --count 1``.
"""

import argparse
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz import interventions
from dsp_viz.config import Config
from dsp_viz.decoding import Decoder
from dsp_viz.reading import ImageError
from dsp_viz.sources.checkpoint import CheckpointError, save
from dsp_viz.trace import trace

ROOT = Path(__file__).resolve().parents[1]

#: Cases of each kind.
COUNTS = {"pictures": 20_000, "checkpoints": 2_000, "interventions": 5_000, "layers": 2_000}

#: Seconds that a case may take, on a machine that does other things too.
SLOW = 40.0

#: Files above this many bytes are no seeds: cases are many.
LARGEST = 200_000

#: What programs tend not to expect.
BYTES = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"NaN",
    b"[" * 99,
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    0.5,
    2**31,
    2**63,
    10**30,
    1e308,
    -1e308,
    1e-308,
    "",
    "x" * 300,
    "\u202e",
    [],
    {},
]
VALUES += [[0] * 99, "dsp", [[1, 2]], {"a": 1}]

BUILD: Any = {
    "image_size": 24,
    "patch": 8,
    "dim": 12,
    "num_heads": 3,
    "depth": 2,
    "num_classes": 2,
    "attention": "dsp",
    "spectral_modes": 2,
    "num_scales": 2,
}

INTERVENTIONS: list[Any] = [
    [{"kind": "set_coefficient", "value": 0.5, "block": 1, "head": 2, "scale": 0, "stream": "same", "relative": True}],
    [{"kind": "leave_out_filter", "block": 0, "head": 1, "polarity": "negative", "low": 0, "high": 1}],
    [{"kind": "leave_out_summary", "summary": "lstm", "block": 1}, {"kind": "set_coefficient", "value": 0}],
    [{"kind": "set_mixing_weights", "weights": [0.25, 0.75], "block": 1, "head": 0}],
    [{"kind": "restrict", "grid": [3, 3], "tokens": [[0, 0], [1, 2]], "block": 0}],
]


def damaged(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Bytes with a few faults: changed, cut, repeated, moved, or with a piece of another file."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(out) + 1) if rng.random() < 0.5 else min(rng.randrange(512), len(out))
        length = min(rng.choice((1, 4, 16, 256, 4096)), max(1, len(out) - at))
        match rng.randrange(7):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1 if at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                out[at : at + 4] = rng.choice(BYTES)
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length]
            case 5:
                piece = rng.choice(others)
                start = rng.randrange(len(piece) + 1)
                out[at : at + length] = piece[start : start + length]
            case 6 if rng.random() < 0.2:
                del out[at:]
    return bytes(out)


def altered(rng: random.Random, value: Any) -> Any:
    """JSON with a few values changed, left out, added or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        inner, at = _somewhere(rng, value)
        if inner is None:
            return rng.choice(VALUES)
        # A copy, since the next change may be within it.
        new = copy.deepcopy(rng.choice(VALUES)) if rng.random() < 0.7 else _near(rng, inner[at])
        match rng.randrange(5):
            case 0:
                del inner[at]
            case 1 if isinstance(inner, dict):
                inner[str(rng.choice(VALUES))[:40]] = new
            case 1:
                inner.insert(at, new)
            case _:
                inner[at] = new
    return value


def _near(rng: random.Random, value: Any) -> Any:
    """A value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value - 1, -value, 2 * value, value / 3, value * 1e9))
    return rng.choice((str(value)[:-1], str(value) * 2, str(value).upper(), f"{value}\0"))


def _somewhere(rng: random.Random, value: Any) -> tuple[Any, Any]:
    """A container within, and a key of it."""
    found = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        inner = list(each) if isinstance(each, dict) else list(range(len(each))) if isinstance(each, list) else []
        found += [(each, key) for key in inner]
        waiting += [each[key] for key in inner]
    return rng.choice(found) if found else (None, None)


class Pictures:
    """Through the decoder's processes; several at once."""

    def __init__(self, folder: Path) -> None:
        files = [p for p in (ROOT / "tests" / "data").iterdir() if p.is_file() and 0 < p.stat().st_size < LARGEST]
        self.seeds = [path.read_bytes() for path in sorted(files)]
        self.folder = folder
        self.decoder = Decoder(workers=2, patience=600.0)

    def __call__(self, rng: random.Random, number: int) -> bool:
        path = self.folder / f"{number}"
        path.write_bytes(damaged(rng, rng.choice(self.seeds), self.seeds))
        try:
            fitted = self.decoder.fit(path, side=64, patch=8, whole=rng.random() < 0.2)
        except ImageError:
            return False
        finally:
            path.unlink()
        assert fitted.picture.mode == "RGB"
        return True


class Checkpoints:
    """Loaded, and run where that works."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.path = folder / "small.safetensors"
        config = Config(BUILD, 24, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), ("cat", "dog"), ("n1", "n2"))
        save(self.path, DSPImageClassifier(**BUILD), config)
        self.weights = self.path.read_bytes()
        self.config = self.path.with_suffix(".json").read_bytes()

    def __call__(self, rng: random.Random, number: int) -> bool:
        weights, config = self.weights, self.config
        match rng.randrange(4):
            case 0:
                weights = damaged(rng, weights, [config])
            case 1:
                length = int.from_bytes(weights[:8], "little")
                header = json.dumps(altered(rng, json.loads(weights[8 : 8 + length]))).encode()
                weights = len(header).to_bytes(8, "little") + header + weights[8 + length :]
            case 2:
                config = damaged(rng, config, [weights])
            case 3:
                config = json.dumps(altered(rng, json.loads(config))).encode()
        self.path.write_bytes(weights)
        self.path.with_suffix(".json").write_bytes(config)
        try:
            subject = dsp_viz.load(self.path)
        except CheckpointError:
            return False
        side = subject.preparation.side
        trace(subject, torch.zeros(1, 3, side, side))
        return True


class Interventions:
    """Read, and where that works a small model runs with them."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.model = DSPImageClassifier(**BUILD).eval()

    def __call__(self, rng: random.Random, number: int) -> bool:
        text = json.dumps(altered(rng, rng.choice(INTERVENTIONS))).encode()
        if rng.random() < 0.2:
            text = damaged(rng, text, [text])
        try:
            with interventions.applied(self.model, interventions.from_json(text)):
                trace(self.model, torch.zeros(1, 3, 24, 24))
        except interventions.InterventionError:
            return False
        return True


KINDS: dict[str, Callable[[Path], Callable[[random.Random, int], bool]]] = {
    "pictures": Pictures,
    "checkpoints": Checkpoints,
    "interventions": Interventions,
}


def run(kind: str, numbers: range, seed: int) -> tuple[Counter[str], float]:
    """What became of the cases of a kind, and the seconds of the slowest. Prints those that went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        work = KINDS[kind](Path(folder))

        def one(number: int) -> tuple[str, float]:
            start = time.perf_counter()
            try:
                result = "worked" if work(random.Random(f"{seed} {kind} {number}"), number) else "refused"
            except Exception:
                print(f"{kind} {number} (seed {seed}):\n{traceback.format_exc()[-1500:]}", flush=True)
                result = "wrong"
            took = time.perf_counter() - start
            if took > SLOW:
                print(f"{kind} {number} (seed {seed}): {took:.0f} s", flush=True)
                result = "wrong"
            return result, took

        if kind == "pictures":
            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(one, numbers))
        else:
            found = [one(number) for number in numbers]
    return Counter(result for result, _ in found), max((took for _, took in found), default=0.0)


def layers(numbers: range, seed: int) -> tuple[Counter[str], float]:
    """The same of layers' bytes, in Node."""
    command = ["node", str(Path(__file__).with_name("fuzz.js")), str(seed), str(numbers.start), str(len(numbers))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | {"SLOW": str(SLOW)})
    told = json.loads(done.stdout.splitlines()[-1])
    print(b"\n".join(done.stdout.splitlines()[:-1]).decode(), end="", flush=True)
    return Counter({key: told[key] for key in ("worked", "refused", "wrong")}), told["slowest"]


def main() -> None:
    """Print what became of all, and end with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the cases (default: %(default)s)")
    parser.add_argument("--only", choices=list(COUNTS), help="one kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default: %(default)s)")
    parser.add_argument(
        "--count", type=int, help=f"cases of each kind (default: {', '.join(map(str, COUNTS.values()))})"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| | cases | worked | refused | wrong | slowest, s | in all, s |\n|---|---|---|---|---|---|---|", flush=True)
    wrong = 0
    for kind in [args.only] if args.only else COUNTS:
        numbers = range(args.first, args.first + (args.count or COUNTS[kind]))
        start = time.perf_counter()
        found, slowest = layers(numbers, args.seed) if kind == "layers" else run(kind, numbers, args.seed)
        counts = [f"{found[result]:,}" for result in ("worked", "refused", "wrong")]
        seconds = time.perf_counter() - start
        print(f"| {kind} | {len(numbers):,} | {' | '.join(counts)} | {slowest:.2f} | {seconds:.0f} |", flush=True)
        wrong += found["wrong"]
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
