use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kura_models::fake::FakeGenerator;
use kura_models::{Generator, ModelSpec, Prompt, Result, Token};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Writes a word every few milliseconds and never ends by itself, so that a test can go away meanwhile.
pub struct SlowGenerator {
    inner: FakeGenerator,
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
            written: Arc::default(),
            cancelled: Arc::default(),
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

    async fn generate(&self, _: Prompt) -> Result<BoxStream<'static, Result<Token>>> {
        let guard = SetOnDrop(Arc::clone(&self.cancelled));
        let written = Arc::clone(&self.written);
        let words = futures::stream::unfold((guard, written), |(guard, written)| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            written.fetch_add(1, Ordering::SeqCst);
            Some((Ok(Token::Text("word ".to_owned())), (guard, written)))
        });
        Ok(words.boxed())
    }
}
