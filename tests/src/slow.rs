use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kura_models::fake::FakeGenerator;
use kura_models::{Generator, ModelSpec, Prompt, Result, Token};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Writes a word every few milliseconds and never ends by itself, so that a test can do something meanwhile.
pub struct SlowGenerator {
    inner: FakeGenerator,
    /// Whether it writes what it was asked, passages included, over and over.
    repeats: bool,
    /// Words written so far.
    pub written: Arc<AtomicUsize>,
    /// Whether a stream was dropped before its end.
    pub cancelled: Arc<AtomicBool>,
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Default for SlowGenerator {
    fn default() -> Self {
        Self {
            inner: FakeGenerator::new(["word"]),
            repeats: false,
            written: Arc::default(),
            cancelled: Arc::default(),
        }
    }
}

impl SlowGenerator {
    /// Returns a generator that writes what it was asked, passages included, over and over.
    #[must_use]
    pub fn repeating() -> Self {
        Self {
            repeats: true,
            ..Self::default()
        }
    }
}

#[async_trait]
impl Generator for SlowGenerator {
    fn spec(&self) -> &ModelSpec {
        self.inner.spec()
    }

    fn context_length(&self) -> usize {
        self.inner.context_length()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }

    async fn generate(&self, prompt: Prompt) -> Result<BoxStream<'static, Result<Token>>> {
        let guard = SetOnDrop(Arc::clone(&self.cancelled));
        let written = Arc::clone(&self.written);
        let asked = prompt.messages.last().filter(|_| self.repeats);
        let text = asked.map_or("word ".to_owned(), |message| {
            format!("{} ", message.content)
        });
        let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let state = (guard, written, words.into_iter().cycle());
        let words = futures::stream::unfold(state, |(guard, written, mut words)| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            written.fetch_add(1, Ordering::SeqCst);
            let word = words.next()?;
            Some((Ok(Token::Text(word)), (guard, written, words)))
        });
        Ok(words.boxed())
    }
}
