"""A random Llama of 0.1M parameters with a small BPE tokenizer, made in memory: trains in a second, no download."""

import json
from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = "the cat sat on a mat and my parcel is late please help I was charged twice category billing shipping yes no"
WORDS = TEXT.split()


def make_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 10, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(folder: Path, seed: int = 0) -> Path:
    """Write the model and its tokenizer into `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def chat(user: str, assistant: str, **more: object) -> dict:
    return {
        "messages": [
            {"role": "system", "content": "the cat"},
            {"role": "user", "content": user},
            {"role": "assistant", "content": assistant, **more},
        ]
    }


def preference(user: str, chosen: str, rejected: str) -> dict:
    asked = [{"role": "system", "content": "the cat"}, {"role": "user", "content": user}]
    answers = {
        name: [{"role": "assistant", "content": text}] for name, text in (("chosen", chosen), ("rejected", rejected))
    }
    return {"messages": asked, **answers}


def write_pairs(path: Path, count: int = 20) -> Path:
    """Pairs in which one answer is always the better one."""
    rows = [preference(" ".join(WORDS[i % 7 : i % 7 + 3 + i % 5]), "billing", "shipping") for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_rows(path: Path, count: int = 20) -> Path:
    """Rows of different lengths."""
    rows = [chat(" ".join(WORDS[i % 7 : i % 7 + 3 + i % 5]), "billing" if i % 2 else "shipping") for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
