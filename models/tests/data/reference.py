"""Writes the reference vectors of tests/parity.rs: a forward pass in plain numpy (float64), nothing shared with kura.

    pip install numpy tokenizers safetensors
    python reference.py all-minilm-l6-v2 MODELS_DIR/all-minilm-l6-v2 256 '' '' > minilm.json
    python reference.py multilingual-e5-small MODELS_DIR/multilingual-e5-small 512 'query: ' 'passage: ' > e5.json

For e5 in the repository the folder was the one that an independent Python conversion wrote (f32 weights, SentencePiece's
own normalization table), so that kura's conversion and tokenizer are tested as well. (The two tokenizers differ in one
character only: U+200D inside an emoji sequence, which SentencePiece and kura turn into a space and `tokenizers` keeps.)
"""

import json
import math
import pathlib
import sys
import unicodedata

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

ENGLISH = [
    "Hello world",
    "How do I request annual leave?",
    "Employees submit leave requests at least five working days in advance, except in emergencies.",
    "The backup of the database server runs every night at 02:30 and is kept for 35 days.",
    "a",
    "ALL CAPS, punctuation!!! (and) [brackets] {braces} — dashes… “quotes”",
    "naïve café, Zürich, Ångström, fiancée",
    "tab\tand\nnewline   and   many    spaces",
    "https://example.com/path?query=1&other=two#fragment user@example.com",
    "def add(a: int, b: int) -> int:\n    return a + b",
    "Prices rose by 3.5% to €1,299.00 (about US$1,400) in Q3/2025.",
    "½ cup of sugar, ﬁne ﬂour, ① first, Ⅳ fourth, ﾊﾝｶｸ, Ｆｕｌｌｗｉｄｔｈ",
    " leading and trailing spaces ",
    "word " * 700,
    "The committee did not approve the budget. The committee approved the budget.",
    "🙂 emoji and 👩🏽 people",
]
JAPANESE = [
    "こんにちは世界",
    "年次有給休暇の申請方法を教えてください。",
    "有給休暇は、原則として取得日の5営業日前までに申請してください。ただし、緊急の場合はこの限りではありません。",
    "データベースサーバーのバックアップは毎晩2時30分に実行され、35日間保存されます。",
    "東京都千代田区丸の内1-1-1　丸の内ビルディング",
    "ﾃﾞｰﾀﾍﾞｰｽのﾊﾞｯｸｱｯﾌﾟ、１２３４円〜５６７８円、㈱サンプル、㌔、か\u3099",
    "吾輩は猫である。名前はまだ無い。" * 60,
    "コーヒーとcoffeeの違いは？ A～Zまで",
]


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def norm(x, w, name, eps):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * w[name + ".weight"] + w[name + ".bias"]


erf = np.vectorize(math.erf)


def forward(ids, w, config):
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    e = "embeddings."
    x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: len(ids)]
    x = norm(x + w[e + "token_type_embeddings.weight"][0], w, e + "LayerNorm", eps)
    split = lambda y: y.reshape(len(ids), heads, -1).transpose(1, 0, 2)
    for layer in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{layer}."
        q, k, v = (split(linear(x, w, f"{p}attention.self.{n}")) for n in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context = (scores / scores.sum(-1, keepdims=True)) @ v
        context = context.transpose(1, 0, 2).reshape(x.shape)
        x = norm(x + linear(context, w, p + "attention.output.dense"), w, p + "attention.output.LayerNorm", eps)
        y = linear(x, w, p + "intermediate.dense")
        y = y * 0.5 * (1 + erf(y / math.sqrt(2)))
        x = norm(x + linear(y, w, p + "output.dense"), w, p + "output.LayerNorm", eps)
    pooled = x.mean(0)
    return pooled / np.linalg.norm(pooled)


def main():
    model, folder, max_tokens, query, document = sys.argv[1:]
    folder = pathlib.Path(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    config = json.loads((folder / "config.json").read_text())
    weights = {k: v.astype(np.float64) for k, v in load_file(folder / "model.safetensors").items()}
    items = []
    for text in ENGLISH + JAPANESE:
        nfkc = unicodedata.normalize("NFKC", text)
        tokenizer.no_truncation()
        tokens = len(tokenizer.encode(nfkc, add_special_tokens=False).ids)
        tokenizer.enable_truncation(int(max_tokens))
        embed = lambda prompt: [round(float(v), 5) for v in forward(tokenizer.encode(prompt + nfkc).ids, weights, config)]
        item = {"text": text, "tokens": tokens, "document": embed(document)}
        if len(items) < 2:
            item["query"] = embed(query)
        items.append(item)
    json.dump({"model": model, "items": items}, sys.stdout, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
