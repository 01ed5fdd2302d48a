//! Words that a thread has counted lately. Looking there takes no lock; looking at what all threads share does, and
//! threads that cut documents would get in each other's way at every word.

use compact_str::CompactString;
use foldhash::fast::FixedState;
use std::cell::RefCell;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// Words kept by a thread, in half a megabyte; a word that falls on another's place takes it.
const PLACES: usize = 1 << 14;

#[derive(Clone, Default)]
struct Place {
    owner: u32,
    n_tokens: u32,
    word: CompactString,
}

thread_local! {
    static PLACES_OF_THREAD: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

/// One tokenizer's words among those of a thread.
pub(super) struct Recent(u32);

impl Recent {
    pub(super) fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    /// Returns a short word's tokens: those that this thread remembers or, which it then does, those of `look_up`.
    pub(super) fn get_or(
        &self,
        word: &str,
        look_up: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        PLACES_OF_THREAD.with_borrow_mut(|places| {
            if places.is_empty() {
                places.resize(PLACES, Place::default());
            }
            let hash = FixedState::with_seed(u64::from(self.0)).hash_one(word);
            let place = &mut places[hash as usize % PLACES];
            if place.owner == self.0 && place.word == word {
                return Some(place.n_tokens as usize);
            }
            let n_tokens = look_up()?;
            *place = Place {
                owner: self.0,
                n_tokens: u32::try_from(n_tokens).ok()?,
                word: word.into(),
            };
            Some(n_tokens)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tokenizer_gets_its_own_counts_back_whatever_fell_on_their_places() {
        let (first, second) = (Recent::new(), Recent::new());
        let words: Vec<String> = (0..3 * PLACES).map(|n| format!("word{n}")).collect();
        for _ in 0..2 {
            for (n, word) in words.iter().enumerate() {
                assert_eq!(first.get_or(word, || Some(n)), Some(n));
                assert_eq!(second.get_or(word, || Some(n + 1)), Some(n + 1));
                assert_eq!(first.get_or(word, || Some(n)), Some(n));
            }
        }
        assert_eq!(first.get_or("known", || Some(7)), Some(7));
        assert_eq!(
            first.get_or("known", || panic!("it is remembered")),
            Some(7)
        );
        assert_eq!(second.get_or("known", || None), None);
    }
}
