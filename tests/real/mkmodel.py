"""Make a Llama checkpoint with random weights and a byte-level BPE tokenizer, without any download.

Run it with vLLM's Python: `mkmodel.py FOLDER --hidden 128 --layers 2 --vocabulary 1024`. The same
arguments give the same model. Its text is nonsense; its counters and latencies are as real as any model's.
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 2048
HEAD = 64
BOS, EOS, PAD, TURN = "<s>", "</s>", "<pad>", "<turn>"
CHAT = (
    "{% for message in messages %}<turn>{{ message['role'] }}\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


def corpus() -> list[str]:
    """Text that every Python installation has."""
    return [path.read_text() for path in sorted(Path(json.__file__).parent.glob("*.py"))]


def tokenizer(size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `size` pieces; it can encode any text."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [BOS, EOS, PAD, TURN]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    pieces.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=pieces, bos_token=BOS, eos_token=EOS, pad_token=PAD, model_max_length=CONTEXT
    )
    fast.chat_template = CHAT
    return fast


def llama(hidden: int, layers: int, words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Random weights, the same every time."""
    torch.manual_seed(0)
    heads = max(1, hidden // HEAD)
    shape = LlamaConfig(
        vocab_size=len(words),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=CONTEXT,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(shape).to(torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--vocabulary", type=int, required=True)
    options = parser.parse_args()
    words = tokenizer(options.vocabulary)
    model = llama(options.hidden, options.layers, words)
    words.save_pretrained(options.folder)
    model.save_pretrained(options.folder)
    print(f"{options.folder}: {model.num_parameters()} parameters, {len(words)} pieces")


if __name__ == "__main__":
    main()
