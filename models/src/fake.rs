//! Stand-ins for unit tests: no weights, no threads, the same answer every time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use unicode_normalization::UnicodeNormalization;

use crate::spec::Architecture;
use crate::{
    Embedder, Embedding, Error, FinishReason, Generator, ModelId, ModelKind, ModelSpec, Pooling,
    Prompt, Reranker, Result, Token, TokenStates, Usage, Vector,
};

/// Length of the vectors of [`FakeEmbedder`].
pub const FAKE_DIM: usize = 64;

/// Embeds by hashing words and pairs of characters, so that texts that share them are similar. Deterministic on every
/// machine. Tokens are words, and single characters of scripts without spaces.
#[derive(Debug, Clone)]
pub struct FakeEmbedder {
    spec: ModelSpec,
}

impl FakeEmbedder {
    /// Returns an embedder named `fake-embedder`.
    #[must_use]
    pub fn new() -> Self {
        let kind = ModelKind::Embedder {
            dim: FAKE_DIM,
            pooling: Pooling::Mean,
            query_prompt: String::new(),
            document_prompt: String::new(),
        };
        Self {
            spec: spec("fake-embedder", kind),
        }
    }
}

impl Default for FakeEmbedder {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Embedder for FakeEmbedder {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn dim(&self) -> usize {
        FAKE_DIM
    }

    fn count_tokens(&self, text: &str) -> usize {
        words(text).len()
    }

    async fn embed_query(&self, text: &str) -> Result<Embedding> {
        Ok(embedding(text))
    }

    async fn embed_documents(&self, texts: &[String]) -> Result<Vec<Embedding>> {
        Ok(texts.iter().map(|t| embedding(t)).collect())
    }
}

/// Scores pairs of query and text with a function; where that gives nothing, the call fails with [`Error::Stopped`].
pub struct FakeReranker {
    spec: ModelSpec,
    score: Box<FakeScore>,
    delay: Duration,
}

/// Query and text to logit; `None` fails.
type FakeScore = dyn Fn(&str, &str) -> Option<f32> + Send + Sync;

impl FakeReranker {
    /// Returns a reranker named `fake-reranker`.
    pub fn new(score: impl Fn(&str, &str) -> Option<f32> + Send + Sync + 'static) -> Self {
        Self {
            spec: spec("fake-reranker", ModelKind::Reranker),
            score: Box::new(score),
            delay: Duration::ZERO,
        }
    }

    /// Takes so long for each text.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[async_trait]
impl Reranker for FakeReranker {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    async fn rerank(&self, query: &str, texts: &[String]) -> Result<Vec<f32>> {
        let delay = self.delay * u32::try_from(texts.len()).unwrap_or(u32::MAX);
        if !delay.is_zero() {
            let waited = tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await;
            waited.map_err(|_| Error::Stopped)?;
        }
        texts
            .iter()
            .map(|text| (self.score)(query, text).ok_or(Error::Stopped))
            .collect()
    }
}

/// Answers with scripted texts, one per call, the last one again and again; without a script with the last message.
#[derive(Debug)]
pub struct FakeGenerator {
    spec: ModelSpec,
    script: Mutex<Vec<String>>,
}

impl FakeGenerator {
    /// Returns a generator named `fake-generator` that answers with `script`, first text first.
    #[must_use]
    pub fn new<S: Into<String>>(script: impl IntoIterator<Item = S>) -> Self {
        let kind = ModelKind::Generator {
            chat_template: None,
            stop_tokens: Vec::new(),
        };
        let mut script: Vec<String> = script.into_iter().map(Into::into).collect();
        script.reverse();
        Self {
            spec: spec("fake-generator", kind),
            script: Mutex::new(script),
        }
    }

    fn answer(&self, prompt: &Prompt) -> String {
        let mut script = self
            .script
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match script.len() {
            0 => prompt
                .messages
                .last()
                .map(|m| m.content.clone())
                .unwrap_or_default(),
            1 => script[0].clone(),
            _ => script.pop().unwrap_or_default(),
        }
    }
}

#[async_trait]
impl Generator for FakeGenerator {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn context_length(&self) -> usize {
        self.spec.max_tokens
    }

    fn count_tokens(&self, text: &str) -> usize {
        words(text).len()
    }

    /// One [`Token::Text`] per word with the space before it.
    async fn generate(&self, prompt: Prompt) -> Result<BoxStream<'static, Result<Token>>> {
        let mut answer = self.answer(&prompt);
        if let Some(end) = prompt
            .stop
            .iter()
            .filter_map(|s| answer.find(s.as_str()))
            .min()
        {
            answer.truncate(end);
        }
        let pieces: Vec<String> = answer.split_inclusive(' ').map(str::to_owned).collect();
        let cut = pieces.len() > prompt.max_new_tokens;
        let prompt_tokens = prompt
            .messages
            .iter()
            .map(|m| words(&m.content).len())
            .sum();
        let completion_tokens = pieces.len().min(prompt.max_new_tokens);
        let end = Token::End {
            reason: if cut {
                FinishReason::Length
            } else {
                FinishReason::Stop
            },
            usage: Usage {
                prompt_tokens,
                cached_tokens: 0,
                completion_tokens,
            },
        };
        let texts = pieces
            .into_iter()
            .take(prompt.max_new_tokens)
            .map(Token::Text);
        Ok(futures::stream::iter(texts.chain([end]).map(Ok).collect::<Vec<_>>()).boxed())
    }
}

fn spec(id: &str, kind: ModelKind) -> ModelSpec {
    ModelSpec {
        id: ModelId(id.to_owned()),
        description: "for tests".to_owned(),
        license: "Apache-2.0".to_owned(),
        upstream: "kura".to_owned(),
        languages: vec!["multilingual".to_owned()],
        architecture: Architecture::Bert,
        max_tokens: 4096,
        kind,
        files: Vec::new(),
        sources: Vec::new(),
    }
}

/// Words in lower case after NFKC; characters outside Latin-like scripts stand alone.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.nfkc().flat_map(char::to_lowercase) {
        if !c.is_alphanumeric() {
            open = false;
        } else if c < '\u{2000}' && open {
            if let Some(word) = words.last_mut() {
                word.push(c);
            }
        } else {
            words.push(c.to_string());
            open = c < '\u{2000}';
        }
    }
    words
}

/// Each word's state is the vector of that word alone.
fn embedding(text: &str) -> Embedding {
    let words = words(text);
    let tokens = TokenStates {
        ids: words
            .iter()
            .map(|word| u32::try_from(fnv(word) % 30_000).unwrap_or(0))
            .collect(),
        states: words.iter().flat_map(|word| hashed(word)).collect(),
    };
    Embedding {
        vector: hashed(text),
        tokens,
    }
}

fn hashed(text: &str) -> Vector {
    let words = words(text);
    let mut features: BTreeMap<String, f32> = BTreeMap::new();
    for word in &words {
        *features.entry(word.clone()).or_default() += 2.0;
        let letters: Vec<char> = word.chars().collect();
        for pair in letters.windows(2) {
            *features.entry(pair.iter().collect()).or_default() += 0.5;
        }
    }
    for pair in words
        .windows(2)
        .filter(|p| p.iter().all(|w| w.chars().count() == 1))
    {
        *features.entry(pair.concat()).or_default() += 1.0;
    }
    let mut vector = vec![0.0; FAKE_DIM];
    vector[0] = 1e-3; // an empty text has a direction too
    for (feature, weight) in features {
        let hash = fnv(&feature);
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        vector[usize::try_from(hash % FAKE_DIM as u64).unwrap_or(0)] += sign * weight;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    for x in &mut vector {
        *x /= length;
    }
    vector
}

/// FNV-1a: unlike the standard library's hash it is the same everywhere and always.
fn fnv(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    // FNV leaves the high bits of short texts alike.
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Role, Sampling};

    #[tokio::test]
    async fn similar_texts_are_similar() {
        let e = FakeEmbedder::new();
        let texts = [
            "annual leave request",
            "How do I request annual leave?",
            "backup of the database server",
            "年次有給休暇の申請",
            "有給休暇を申請する方法",
            "",
        ];
        let vectors = e.embed_documents(&texts.map(str::to_owned)).await.unwrap();
        let dot = |a: usize, b: usize| {
            vectors[a]
                .vector
                .iter()
                .zip(&vectors[b].vector)
                .map(|(x, y)| x * y)
                .sum::<f32>()
        };
        assert!(dot(0, 1) > dot(0, 2) + 0.2);
        assert!(dot(3, 4) > dot(3, 2) + 0.2);
        assert!((dot(5, 5) - 1.0).abs() < 1e-5);
        assert_eq!(e.count_tokens("Hello, 世界 2026"), 4);
        assert_eq!(e.embed_query(texts[0]).await.unwrap(), vectors[0]);
    }

    #[tokio::test]
    async fn the_script_is_followed() {
        let g = FakeGenerator::new(["one two three", "four STOP five"]);
        let prompt = Prompt {
            messages: vec![Message {
                role: Role::User,
                content: "say it".to_owned(),
            }],
            sampling: Sampling::Greedy,
            max_new_tokens: 2,
            stop: vec!["STOP".to_owned()],
        };
        let tokens: Vec<_> = g.generate(prompt.clone()).await.unwrap().collect().await;
        assert_eq!(tokens.len(), 3);
        assert!(matches!(
            tokens[2],
            Ok(Token::End {
                reason: FinishReason::Length,
                ..
            })
        ));
        for _ in 0..2 {
            let tokens: Vec<_> = g.generate(prompt.clone()).await.unwrap().collect().await;
            assert!(matches!(&tokens[0], Ok(Token::Text(t)) if t == "four "));
            assert!(matches!(
                tokens[1],
                Ok(Token::End {
                    reason: FinishReason::Stop,
                    ..
                })
            ));
        }
    }
}
