//! Texts to vectors, such that one text that the embedder cannot take does not keep the others from getting theirs.

use crate::late::TokenCodec;
use crate::pipeline::blocking;
use crate::{Error, Result};
use kura_models::{Embedder, Embedding};
use std::sync::Arc;

/// A vector and the codes of the tokens.
pub(super) type Embedded = (Vec<f32>, Vec<u8>);

/// A text's vector, or why it has none.
pub(super) type Outcome = std::result::Result<Embedded, String>;

/// Text that every embedder can take.
const PROBE: &str = "Annual leave is twenty days.";

/// Embeds texts. Returns for each its vector, or why it has none.
///
/// # Errors
/// [`Error::Model`] when the embedder takes no text at all.
pub(super) async fn embed(
    embedder: &Arc<dyn Embedder>,
    codec: &TokenCodec,
    texts: Vec<String>,
) -> Result<Vec<Outcome>> {
    let embeddings = match embedder.embed_documents(&texts).await {
        Ok(embeddings) => embeddings.into_iter().map(Ok).collect(),
        Err(error) => {
            // If even this fails the texts are not to blame.
            embedder.embed_documents(&[PROBE.to_owned()]).await?;
            tracing::warn!(error = %error, "texts cannot be embedded together; trying parts of them");
            embed_apart(embedder.as_ref(), &texts).await
        }
    };
    let codec = codec.clone();
    blocking(move || {
        let encode = |embedding: Embedding| {
            if embedding.vector.iter().all(|x| x.is_finite()) {
                let tokens = codec.encode(&embedding.tokens);
                Ok((embedding.vector, tokens))
            } else {
                Err("the embedder gave a vector with values that are no numbers".to_owned())
            }
        };
        let embedded = embeddings
            .into_iter()
            .map(|embedding: std::result::Result<_, String>| embedding.and_then(encode));
        Ok(embedded.collect())
    })
    .await
}

/// Embeds halves of what failed, and halves of those, down to the texts that are to blame.
async fn embed_apart(
    embedder: &dyn Embedder,
    texts: &[String],
) -> Vec<std::result::Result<Embedding, String>> {
    let mut outcomes: Vec<std::result::Result<Embedding, String>> = Vec::with_capacity(texts.len());
    // Last in, first out, so that outcomes come in order.
    let (left, right) = texts.split_at(texts.len() / 2);
    let mut parts = vec![right, left];
    while let Some(part) = parts.pop() {
        match embedder.embed_documents(part).await {
            Ok(embeddings) => outcomes.extend(embeddings.into_iter().map(Ok)),
            Err(error) if part.len() <= 1 => {
                outcomes.extend(part.iter().map(|_| Err(error.to_string())));
            }
            Err(_) => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right, left]);
            }
        }
    }
    outcomes
}

/// Says of an error that it concerns every text.
pub(super) fn silent(minutes: u64) -> Error {
    Error::from(kura_models::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("the embedder has not answered for {minutes} minutes"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use kura_models::ModelSpec;
    use kura_models::fake::FakeEmbedder;

    /// Fails when a text has the word, or always.
    struct Picky(FakeEmbedder, &'static str);

    #[async_trait]
    impl Embedder for Picky {
        fn spec(&self) -> &ModelSpec {
            self.0.spec()
        }
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn count_tokens(&self, text: &str) -> usize {
            self.0.count_tokens(text)
        }
        async fn embed_query(&self, text: &str) -> kura_models::Result<Embedding> {
            self.0.embed_query(text).await
        }
        async fn embed_documents(&self, texts: &[String]) -> kura_models::Result<Vec<Embedding>> {
            if texts.iter().any(|text| text.contains(self.1)) {
                return Err(kura_models::Error::Stopped);
            }
            self.0.embed_documents(texts).await
        }
    }

    #[tokio::test]
    async fn only_the_text_that_is_to_blame_has_no_vector() {
        let embedder: Arc<dyn Embedder> = Arc::new(Picky(FakeEmbedder::new(), "poison"));
        let codec = TokenCodec::measure(embedder.as_ref()).await.unwrap();
        for n in [1, 2, 5, 8] {
            for bad in 0..n {
                let text = |at| {
                    if at == bad {
                        "poison".to_owned()
                    } else {
                        format!("text {at}")
                    }
                };
                let texts: Vec<String> = (0..n).map(text).collect();
                let outcomes = embed(&embedder, &codec, texts.clone()).await.unwrap();
                assert_eq!(outcomes.len(), n);
                for (at, outcome) in outcomes.iter().enumerate() {
                    match outcome {
                        Ok((vector, _)) => {
                            let alone = embedder.embed_query(&texts[at]).await.unwrap();
                            assert_eq!(*vector, alone.vector);
                        }
                        Err(_) => assert_eq!(at, bad),
                    }
                }
                assert!(outcomes[bad].is_err());
            }
        }
    }

    #[tokio::test]
    async fn an_embedder_that_takes_nothing_is_to_blame_itself() {
        let embedder: Arc<dyn Embedder> = Arc::new(Picky(FakeEmbedder::new(), ""));
        let codec = TokenCodec::new(Vec::new());
        let outcome = embed(&embedder, &codec, vec!["sound".to_owned()]).await;
        assert!(matches!(outcome, Err(Error::Model(_))));
    }
}
