//! What lies in a generator's folder: weights, tokenizer, template, special tokens.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde_json::Value;

use crate::arch::config::DecoderConfig;
use crate::arch::decoder_weights::Weights;
use crate::generate::tokenizer::ChatTokenizer;
use crate::gguf::Gguf;
use crate::spec::{Architecture, ModelId};
use crate::{Error, ModelSpec, Result};

/// Tokens that end a turn in some family of models, whatever the files say: many files name only one of
/// the tokens that their models use.
const END_OF_TURN: [&str; 8] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|end|>",
    "<|endoftext|>",
    "</s>",
];

/// The opened files of a generator.
pub(crate) struct ModelFiles {
    dir: PathBuf,
    /// Absent: the weights are safetensors.
    gguf: Option<Gguf>,
    tokenizer_config: Value,
    /// Ids of end tokens in `generation_config.json` and `config.json`.
    hub_end: HashSet<u32>,
}

/// Tokens with a meaning.
pub(crate) struct SpecialTokens {
    /// Put first where the template does not, if the files ask for it.
    pub(crate) begin: Option<u32>,
    /// The text for templates; may be empty.
    pub(crate) begin_text: String,
    /// The text for templates; may be empty.
    pub(crate) end_text: String,
    /// All tokens that end the answer.
    pub(crate) end: HashSet<u32>,
}

impl ModelFiles {
    /// Opens what `spec` says is in `dir`.
    pub(crate) fn open(dir: &Path, spec: &ModelSpec) -> Result<Self> {
        let gguf = match spec.architecture {
            Architecture::Gguf => Some(Gguf::open(&gguf_path(dir, spec)?)?),
            Architecture::Llama | Architecture::Qwen2 | Architecture::Qwen3 => None,
            Architecture::Bert
            | Architecture::XlmRoberta
            | Architecture::ModernBert
            | Architecture::PpOcr => {
                return Err(Error::Unsupported {
                    id: spec.id.0.clone(),
                    reason: format!("{:?} is an encoder and cannot generate", spec.architecture),
                });
            }
        };
        let mut hub_end = HashSet::new();
        if gguf.is_none() {
            for name in ["generation_config.json", "config.json"] {
                let json = read_json(&dir.join(name))?;
                // One id or several.
                let id = &json["eos_token_id"];
                let ids = id
                    .as_array()
                    .map_or(std::slice::from_ref(id), Vec::as_slice);
                hub_end.extend(
                    ids.iter()
                        .filter_map(Value::as_u64)
                        .filter_map(|id| u32::try_from(id).ok()),
                );
            }
        }
        let tokenizer_config = read_json(&dir.join("tokenizer_config.json"))?;
        Ok(Self {
            dir: dir.to_owned(),
            gguf,
            tokenizer_config,
            hub_end,
        })
    }

    pub(crate) fn tokenizer(&self, id: &ModelId) -> Result<ChatTokenizer> {
        let path = self.dir.join("tokenizer.json");
        match &self.gguf {
            Some(gguf) if !path.exists() => ChatTokenizer::from_gguf(gguf, id),
            Some(_) | None => ChatTokenizer::from_file(&path),
        }
    }

    /// Returns the special tokens; `stop_tokens` are those that the registry adds.
    ///
    /// # Errors
    /// [`Error::Registry`] when one of `stop_tokens` is no token of this model.
    pub(crate) fn special_tokens(
        &self,
        tokenizer: &ChatTokenizer,
        stop_tokens: &[String],
        id: &ModelId,
    ) -> Result<SpecialTokens> {
        let mut end = self.hub_end.clone();
        for token in stop_tokens {
            let Some(token) = tokenizer.token_to_id(token) else {
                let reason =
                    format!("stop token `{token}` of model `{id}` is not in its vocabulary");
                return Err(Error::Registry { reason });
            };
            end.insert(token);
        }
        let known = END_OF_TURN
            .iter()
            .filter_map(|token| tokenizer.token_to_id(token));
        end.extend(known.filter(|token| tokenizer.is_hidden(*token)));
        let gguf_id = |name: &str| {
            let id = self
                .gguf
                .as_ref()?
                .get_usize(&format!("tokenizer.ggml.{name}_token_id"))?;
            u32::try_from(id).ok()
        };
        end.extend(["eos", "eot", "eom"].into_iter().filter_map(gguf_id));
        let text = |name: &str, id: Option<u32>| {
            let configured = &self.tokenizer_config[format!("{name}_token")];
            let configured = configured.as_str().or(configured["content"].as_str());
            configured
                .map(str::to_owned)
                .or_else(|| tokenizer.id_to_token(id?))
                .unwrap_or_default()
        };
        let end_text = text("eos", gguf_id("eos"));
        end.extend(tokenizer.token_to_id(&end_text));
        let add_begin = self
            .gguf
            .as_ref()
            .is_some_and(|gguf| gguf.get_bool("tokenizer.ggml.add_bos_token") == Some(true));
        Ok(SpecialTokens {
            begin: gguf_id("bos").filter(|_| add_begin),
            begin_text: text("bos", gguf_id("bos")),
            end_text,
            end,
        })
    }

    /// Returns the chat template, `own` being the registry's.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there is none: a base model cannot hold a conversation.
    pub(crate) fn chat_template(&self, own: Option<&str>, id: &ModelId) -> Result<String> {
        let path = self.dir.join("chat_template.jinja");
        if let Some(own) = own {
            return Ok(own.to_owned());
        }
        if path.exists() {
            return Ok(fs_err::read_to_string(path)?);
        }
        // One template or several with names.
        let configured = &self.tokenizer_config["chat_template"];
        let configured = match configured.as_array() {
            Some(named) => named
                .iter()
                .find(|template| template["name"] == "default")
                .and_then(|template| template["template"].as_str()),
            None => configured.as_str(),
        };
        let stored = self
            .gguf
            .as_ref()
            .and_then(|gguf| gguf.get_str("tokenizer.chat_template"));
        configured.or(stored).map(str::to_owned).ok_or_else(|| Error::Unsupported {
            id: id.0.clone(),
            reason: "it has no chat template; give one in the registry or use an instruction-tuned model".into(),
        })
    }

    /// Returns the shapes and the weights.
    pub(crate) fn into_weights(
        self,
        id: &ModelId,
        device: &Device,
    ) -> Result<(DecoderConfig, Weights)> {
        let Some(mut gguf) = self.gguf else {
            let config = DecoderConfig::from_json(&self.dir.join("config.json"), id)?;
            return Ok((
                config,
                Weights::safetensors(&safetensors_paths(&self.dir)?, device)?,
            ));
        };
        let factors = ["rope_freqs.weight", "rope_factors_short.weight"]
            .into_iter()
            .find(|name| gguf.has_tensor(name))
            .map(|name| -> Result<Vec<f64>> {
                let tensor = gguf.tensor(name, &Device::Cpu)?.dequantize(&Device::Cpu)?;
                Ok(tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
            })
            .transpose()?;
        let config = DecoderConfig::from_gguf(&gguf, id, factors)?;
        Ok((config, Weights::gguf(gguf, device)))
    }
}

/// Returns the GGUF file that `spec` names, or else the only one in `dir`.
fn gguf_path(dir: &Path, spec: &ModelSpec) -> Result<PathBuf> {
    let is_gguf = |path: &Path| {
        path.extension()
            .is_some_and(|extension| extension == "gguf")
    };
    if let Some(file) = spec
        .files
        .iter()
        .find(|file| is_gguf(Path::new(&file.name)))
    {
        return Ok(dir.join(&file.name));
    }
    let mut found = list(dir)?.into_iter().filter(|path| is_gguf(path));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => Err(Error::Malformed {
            path: dir.to_owned(),
            reason: "it holds no GGUF file".to_owned(),
        }),
        (Some(_), Some(_)) => Err(Error::Malformed {
            path: dir.to_owned(),
            reason: "it holds several GGUF files; name one in the registry".to_owned(),
        }),
    }
}

fn safetensors_paths(dir: &Path) -> Result<Vec<PathBuf>> {
    let is_weights = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "safetensors")
    };
    let paths: Vec<PathBuf> = list(dir)?.into_iter().filter(is_weights).collect();
    if paths.is_empty() {
        let reason = "it holds no safetensors file".to_owned();
        return Err(Error::Malformed {
            path: dir.to_owned(),
            reason,
        });
    }
    Ok(paths)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs_err::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Reads an optional JSON file; absent ones are null.
fn read_json(path: &Path) -> Result<Value> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&fs_err::read(path)?).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
