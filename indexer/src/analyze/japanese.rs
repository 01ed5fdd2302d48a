//! Japanese words, by Vaporetto with the BCCWJ short-unit-word model that ships inside `qdrant-edge`.

use std::sync::LazyLock;
use vaporetto::{Model, Predictor, Sentence};

static PREDICTOR: LazyLock<Predictor> = LazyLock::new(|| {
    let model = include_bytes!(env!("KURA_JAPANESE_MODEL"));
    Model::read_slice(model)
        .and_then(|(model, _)| Predictor::new(model, false))
        .expect("the built-in model is the one this vaporetto release reads; a unit test loads it")
});

/// Returns the words of `run` in order; together they are `run`.
pub(super) fn words(run: &str) -> Vec<&str> {
    // The only texts refused are the empty one and one with NUL, and neither occurs in a run of kanji and kana.
    let Ok(mut sentence) = Sentence::from_raw(run) else {
        return vec![run];
    };
    PREDICTOR.predict(&mut sentence);
    let mut rest = run;
    let mut words = Vec::new();
    for token in sentence.iter_tokens() {
        let (word, after) = rest.split_at(token.surface().len());
        words.push(word);
        rest = after;
    }
    words
}
