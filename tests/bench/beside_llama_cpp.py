"""Reading and writing speed of kura beside llama.cpp: same file, same machine, in turns.

    pip install llama-cpp-python
    cargo build --release --workspace --all-targets
    python tests/bench/beside_llama_cpp.py target/release/examples/speed MODELS_DIR qwen2.5-coder-1.5b-instruct
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from llama_cpp import Llama, __version__

ROUNDS = 3


def llama_cpp(path, n_prompt, n_new):
    model = Llama(str(path), n_ctx=2048, n_threads=os.cpu_count(), n_threads_batch=os.cpu_count(), n_batch=512, verbose=False)
    tokens = model.tokenize(b"the committee approved annual leave for engineers " * 200)[:n_prompt]
    best = {"prefill_per_s": 0.0, "decode_per_s": 0.0}
    for _ in range(ROUNDS):
        model.reset()
        started = time.perf_counter()
        model.eval(tokens)
        read = time.perf_counter() - started
        started = time.perf_counter()
        for _ in range(n_new - 1):
            model.eval([model.sample(temp=0.0)])
        written = time.perf_counter() - started
        best["prefill_per_s"] = max(best["prefill_per_s"], len(tokens) / read)
        best["decode_per_s"] = max(best["decode_per_s"], (n_new - 1) / written)
    return best


def main():
    speed, models, name = sys.argv[1:]
    (path,) = (Path(models) / name).rglob("*.gguf")
    rows = []
    for _ in range(ROUNDS):
        kura = json.loads(subprocess.run([speed, models, name], check=True, capture_output=True, text=True).stdout)
        peer = llama_cpp(path, kura["prompt_tokens"], kura["completion_tokens"])
        rows.append((kura, peer))
    print(f"llama-cpp-python {__version__}, {os.cpu_count()} cores, {rows[0][0]['prompt_tokens']} tokens read, "
          f"{rows[0][0]['completion_tokens']} written, best of {ROUNDS} in each of {ROUNDS} turns")
    for key in ["prefill_per_s", "decode_per_s"]:
        ratios = sorted(kura[key] / peer[key] for kura, peer in rows)
        ours, theirs = max(kura[key] for kura, _ in rows), max(peer[key] for _, peer in rows)
        print(f"{key}: kura {ours:.1f}, llama.cpp {theirs:.1f}, ratio {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


main()
