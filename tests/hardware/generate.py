"""A generate loop on GPU 0 as a server: decodes with a Llama of random weights, and serves how many tokens it made.

usage: generate PORT BATCH. Commands on stdin: `go SECONDS`, answered by `done TOKENS` when the last step has ended.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

PROMPT_TOKENS, LONGEST = 32, 512
MADE = {"tokens": 0}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = f'# TYPE torch_tokens_total counter\ntorch_tokens_total{{model="llama-1b"}} {MADE["tokens"]}\n'
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: Any) -> None:
        pass


def main(port: int, batch: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=32000,
        max_position_embeddings=LONGEST,
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).eval()
    threading.Thread(target=HTTPServer(("127.0.0.1", port), _Page).serve_forever, daemon=True).start()
    prompt = torch.randint(0, 32000, (batch, PROMPT_TOKENS), device="cuda")
    print("done 0", flush=True)
    for line in sys.stdin:
        end = time.monotonic() + float(line.split()[1])
        known, token = None, prompt
        while time.monotonic() < end:
            if known is None or known.get_seq_length() >= LONGEST - 1:
                known, token = None, prompt
            with torch.inference_mode():
                answer = model(token, past_key_values=known, use_cache=True)
            known, token = answer.past_key_values, answer.logits[:, -1:].argmax(-1)
            torch.cuda.synchronize()
            MADE["tokens"] += batch
        print(f"done {MADE['tokens']}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
