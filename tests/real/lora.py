"""LoRA adapters of zeros for the random-weight models: only the requested name matters."""

import json
import struct
from pathlib import Path

RANK = 4
MODULES = ("q_proj", "v_proj")


def adapter(folder: Path, base: Path) -> Path:
    """An adapter of zeros for a model's attention, in peft's format."""
    shape = json.loads((base / "config.json").read_text())
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "base_model_name_or_path": str(base),
                "r": RANK,
                "lora_alpha": RANK,
                "target_modules": MODULES,
                "bias": "none",
            }
        )
    )
    hidden = shape["hidden_size"]
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for module in MODULES:
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.weight"] = (RANK, hidden)
            tensors[f"{name}.lora_B.weight"] = (hidden, RANK)
    _write(folder / "adapter_model.safetensors", tensors)
    return folder


def _write(path: Path, tensors: dict[str, tuple[int, int]]) -> None:
    """Write zero tensors as safetensors: the length of a JSON header, the header, the values."""
    header, end = {}, 0
    for name, (rows, columns) in tensors.items():
        begin, end = end, end + 4 * rows * columns
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
