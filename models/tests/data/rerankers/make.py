"""Writes the tiny rerankers beside this file and what transformers scores with them, for tests/rerank.rs.

    pip install torch transformers gguf
    python make.py

Weights are random, with a seed: what counts is that kura reads the published layouts and computes the same. Qwen3 is
scored as its authors publish it: a batch padded on the left, the logits of `yes` and `no` behind the last token.
Training of word pieces and of unigrams is not repeatable, so those vocabularies and scores change with every run.
"""

import json
import pathlib

import gguf
import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
MAX_TOKENS = 64
MAX_PROMPT_TOKENS = 240
QUERIES = ["how do I request annual leave", "有給休暇の申請"]
TEXTS = [
    "Annual leave is requested in the portal, five working days before it begins.",
    "The database is copied every night at 02:30 and the copies are kept for 35 days.",
    "leave",
    "有給休暇は、取得する日の五営業日前までに申請してください。",
    "サーバーの設定を変更した後は、サービスを再起動します。",
    "Error E-1042 means that the delivery was late; see section 4.2 of the contract with the supplier.",
    "Requests are answered within two days. " * 12,
    "申請は上長の承認を受けてから行う。" * 12,
]
SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TRAINING = [*QUERIES, *TEXTS, SYSTEM, INSTRUCTION, "yes no " * 20, "<Instruct>: <Query>: <Document>:" * 4]


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TRAINING, trainers.WordPieceTrainer(vocab_size=320, special_tokens=special))
    pair("[CLS]", ["[SEP]"], tokenizer)
    return tokenizer, "[PAD]"


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=320, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(TRAINING, trainer)
    pair("<s>", ["</s>", "</s>"], tokenizer)
    return tokenizer, "<pad>"


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    train_bytes(tokenizer, ["[UNK]", "[CLS]", "[SEP]", "[PAD]"])
    pair("[CLS]", ["[SEP]"], tokenizer)
    return tokenizer, "[PAD]"


def qwen():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(tokenizers.Regex(QWEN_PATTERN), behavior="isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    train_bytes(tokenizer, [])
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.add_tokens([tokenizers.AddedToken(t, normalized=False) for t in ["<think>", "</think>"]])
    return tokenizer, "<|endoftext|>"


def train_bytes(tokenizer, special):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.decoder = decoders.ByteLevel()


def pair(begin, between, tokenizer):
    """`begin A between B end`, as the published tokenizers have it."""
    end, middle = between[0], " ".join(between)
    tokens = [(token, tokenizer.token_to_id(token)) for token in {begin, *between}]
    second = " ".join(f"{token}:1" for token in between[1:])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {second} $B:1 {end}:1" if second else f"{begin} $A {middle} $B:1 {end}:1",
        special_tokens=tokens,
    )


SMALL = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, initializer_range=0.8)


def encoder(name, made, config, model):
    """A classifier with one label."""
    inner, pad = made
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=pad)
    config = config(vocab_size=len(fast), num_labels=1, pad_token_id=fast.pad_token_id, **SMALL, **OWN[name])
    config._attn_implementation = "eager"
    model = randomized(model(config))
    folder = saved(name, inner, model)
    items = []
    for query in QUERIES:
        inputs = fast([query] * len(TEXTS), TEXTS, padding=True, truncation="only_second", max_length=MAX_TOKENS, return_tensors="pt")
        inputs = {key: inputs[key] for key in ["input_ids", "attention_mask", *TYPES.get(name, [])]}
        with torch.no_grad():
            items.append((query, model(**inputs).logits[:, 0].double().tolist()))
    write_scores(folder, MAX_TOKENS, items)


TYPES = {"bert": ["token_type_ids"]}
OWN = {
    "bert": dict(max_position_embeddings=MAX_TOKENS),
    "xlm_roberta": dict(max_position_embeddings=MAX_TOKENS + 2, type_vocab_size=1),
    "modern_bert": dict(
        max_position_embeddings=MAX_TOKENS,
        local_attention=8,
        global_attn_every_n_layers=2,
        classifier_pooling="mean",
        reference_compile=False,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
    ),
}


def decoder():
    inner, pad = qwen()
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=pad, padding_side="left")
    config = transformers.Qwen3Config(
        vocab_size=len(fast), num_key_value_heads=1, head_dim=8, max_position_embeddings=MAX_PROMPT_TOKENS,
        tie_word_embeddings=True, rope_theta=1_000_000, eos_token_id=fast.convert_tokens_to_ids("<|im_end|>"),
        attn_implementation="eager", **SMALL,
    )
    model = randomized(transformers.Qwen3ForCausalLM(config))
    folder = saved("qwen3", inner, model)
    yes, no = fast.convert_tokens_to_ids("yes"), fast.convert_tokens_to_ids("no")
    assert yes is not None and no is not None
    prefix = fast.encode(PREFIX, add_special_tokens=False)
    suffix = fast.encode(SUFFIX, add_special_tokens=False)
    room = MAX_PROMPT_TOKENS - len(prefix) - len(suffix)
    items = []
    for query in QUERIES:
        texts = [f"<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {text}" for text in TEXTS]
        ids = fast(texts, padding=False, truncation="longest_first", max_length=room, add_special_tokens=False)["input_ids"]
        assert max(map(len, ids)) == room, f"one text must be cut: {[len(prefix), len(suffix), *map(len, ids)]}"
        batch = fast.pad({"input_ids": [prefix + each + suffix for each in ids]}, padding=True, return_tensors="pt")
        with torch.no_grad():
            last = model(**batch).logits[:, -1, :].double()
        items.append((query, (last[:, yes] - last[:, no]).tolist()))
    write_scores(folder, MAX_PROMPT_TOKENS, items)
    write_gguf(folder / "model.gguf", inner, model)


def randomized(model):
    """Biases and norms start at 0 and 1 in fresh models, where mixing them up would go unseen."""
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            near = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.data = near + 0.2 * torch.randn_like(parameter)
    return model.eval()


def saved(name, tokenizer, model):
    folder = HERE / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return folder


def write_scores(folder, max_tokens, items):
    spread = [max(logits) - min(logits) for _, logits in items]
    assert min(spread) > 0.5, f"{folder.name}: all texts score alike {spread}"
    scores = {
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}",
        "max_tokens": max_tokens,
        "texts": TEXTS,
        "items": [{"query": query, "logits": [round(x, 6) for x in logits]} for query, logits in items],
    }
    (folder / "scores.json").write_text(json.dumps(scores, ensure_ascii=False, indent=1) + "\n")


def write_gguf(path, tokenizer, model):
    """The same model as llama.cpp's converter lays it out."""
    config, writer = model.config, gguf.GGUFWriter(path, "qwen3")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    description = json.loads(tokenizer.to_str())
    added = {token["id"]: token["special"] for token in description["added_tokens"]}
    vocabulary = sorted(tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([token for token, _ in vocabulary])
    kinds = {None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED}
    writer.add_token_types([kinds[added.get(id)] for _, id in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in description["model"]["merges"]])
    writer.add_eos_token_id(config.eos_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":  # tied
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


torch.manual_seed(7)
encoder("bert", word_piece(), transformers.BertConfig, transformers.BertForSequenceClassification)
encoder("xlm_roberta", unigram(), transformers.XLMRobertaConfig, transformers.XLMRobertaForSequenceClassification)
encoder("modern_bert", byte_level(), transformers.ModernBertConfig, transformers.ModernBertForSequenceClassification)
decoder()
