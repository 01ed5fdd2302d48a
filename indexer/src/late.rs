//! Late interaction: every token of a query meets the token of a chunk that is closest to it.
//!
//! A chunk's vector is one average for all it says; its token states still tell the parts apart. They are kept as one
//! bit per dimension, the sign of the difference from the embedder's mean state: 48 bytes per token at 384
//! dimensions, and as good as floats for this (docs/BENCHMARKS.md). The query's side stays in floats.
//! After `ColBERT` (Khattab and Zaharia 2020), with an embedder that was not trained for it.

use crate::{Error, Result};
use kura_models::{Embedder, TokenStates};
use std::time::Instant;

/// Tokens of a query that are looked at; of a longer one, the rarest.
const MAX_QUERY_TOKENS: usize = 64;

/// Sentences on all sorts of things. Their mean state is what all texts have in common, which says nothing of any.
const PROBES: [&str; 12] = [
    "The annual report was approved by the board in March and will be published next week.",
    "How do I reset my password if I no longer have access to the phone?",
    "Water expands when it freezes, which is why pipes burst in cold winters.",
    "Section 4.2: the supplier shall deliver within 30 days of the order; error code E-1042 means a late delivery.",
    "She studied chemistry in Berlin before moving to a small town near the coast.",
    "Total revenue rose by 12 percent to 3.4 million, mostly from services.",
    "経費の申請は月末までに上長の承認を受けてください。",
    "この機械は毎日点検し、異常があれば直ちに運転を止める。",
    "東京から大阪までは新幹線で約二時間半かかります。",
    "第十二条 会員が次の各号に該当するときは、退会したものとみなす。",
    "彼は1985年に京都で生まれ、のちに作家として知られるようになった。",
    "サーバーの設定を変更した後は、サービスを再起動する必要がありますか。",
];

/// Turns token states into codes and back into scores. Codes of different embedders must never be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenCodec {
    /// Mean token state of the embedder; empty when it gives no states.
    center: Vec<f32>,
}

/// A query's tokens, ready to be compared.
#[derive(Debug, Clone)]
pub struct QueryTokens {
    blocks: Vec<Block>,
    code_len: usize,
}

/// [`LANES`] of a query's tokens side by side, so that one vector instruction serves them all.
///
/// A code's bits say which dimensions of a token to add and which to take away. That is looked up for four dimensions at
/// a time instead of computed for each.
#[derive(Debug, Clone)]
struct Block {
    /// By half byte of a code and its value: the sums over four dimensions, in each token's own unit.
    sums: Vec<[Lanes; 16]>,
    /// The units, times the tokens' weights. 0 for lanes that are not in use.
    units: [f32; LANES],
}

/// Integers, because twice as many fit. The error is at most half a unit per half byte; measured, a score is off by less
/// than 0.0001.
type Lanes = [i16; LANES];

/// Fastest from 9 tokens on (measured with 8, 16 and 32): with more, a block's sums outgrow the caches next to the core.
const LANES: usize = 16;

impl TokenCodec {
    /// Returns the codec of an embedder with this mean token state; empty when it gives no states.
    #[must_use]
    pub fn new(center: Vec<f32>) -> Self {
        Self { center }
    }

    /// Measures an embedder with the probe sentences.
    ///
    /// # Errors
    /// Those of the embedder.
    pub async fn measure(embedder: &dyn Embedder) -> Result<Self> {
        let probes = embedder.embed_documents(&PROBES.map(str::to_owned)).await?;
        let rows = || probes.iter().flat_map(|probe| probe.tokens.rows());
        let n_rows = rows().count() as f32;
        let mut center = vec![0.0; rows().next().map_or(0, <[f32]>::len)];
        for row in rows() {
            for (sum, x) in center.iter_mut().zip(row) {
                *sum += x / n_rows;
            }
        }
        Ok(Self { center })
    }

    /// Returns what must be kept with the codes: the mean token state.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.center).map_err(std::io::Error::from)?)
    }

    /// Restores what [`Self::to_json`] gave.
    pub(crate) fn from_json(json: &str) -> Result<Self> {
        let center = serde_json::from_str(json).map_err(|_| Error::Corrupt {
            reason: "token center".to_owned(),
        })?;
        Ok(Self { center })
    }

    /// Returns the codes of a chunk's tokens: [`Self::code_len`] bytes each, in order.
    #[must_use]
    pub fn encode(&self, tokens: &TokenStates) -> Vec<u8> {
        let mut codes = Vec::with_capacity(tokens.ids.len() * self.code_len());
        for row in tokens.rows() {
            let bits = row.chunks(8).zip(self.center.chunks(8));
            codes.extend(bits.map(|(states, means)| {
                let above = states.iter().zip(means).map(|(x, mean)| x > mean);
                above
                    .enumerate()
                    .fold(0, |byte, (bit, above)| byte | u8::from(above) << bit)
            }));
        }
        codes
    }

    /// Returns the bytes of one token's code.
    #[must_use]
    pub fn code_len(&self) -> usize {
        self.center.len().div_ceil(8)
    }

    /// Prepares a query's tokens. `None` when there are none to compare.
    #[must_use]
    pub fn query(&self, tokens: &TokenStates) -> Option<QueryTokens> {
        let width = self.center.len();
        let mut weighed: Vec<(f32, &[f32])> = tokens
            .ids
            .iter()
            .map(|id| rarity(*id))
            .zip(tokens.rows())
            .collect();
        weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
        weighed.truncate(MAX_QUERY_TOKENS);
        let total: f32 = weighed.iter().map(|(weight, _)| weight).sum();
        if width == 0 || total <= 0.0 || weighed.iter().any(|(_, row)| row.len() != width) {
            return None;
        }
        let blocks = weighed.chunks(LANES).map(|tokens| {
            let mut block = Block::new(self.code_len());
            for (lane, (weight, row)) in tokens.iter().enumerate() {
                let centered = row.iter().zip(&self.center).map(|(x, mean)| x - mean);
                block.put(lane, weight / total, centered.collect());
            }
            block
        });
        Some(QueryTokens {
            blocks: blocks.collect(),
            code_len: self.code_len(),
        })
    }
}

/// How much a token counts: vocabularies list the frequent ones first.
fn rarity(id: u32) -> f32 {
    (2.0 + id as f32).ln()
}

impl Block {
    fn new(code_len: usize) -> Self {
        Self {
            sums: vec![[[0; LANES]; 16]; code_len * 2],
            units: [0.0; LANES],
        }
    }

    /// Puts a token, centered, into a lane.
    fn put(&mut self, lane: usize, weight: f32, token: Vec<f32>) {
        let length = token.iter().map(|x| x * x).sum::<f32>().sqrt();
        // With this unit no sum can run over, rounding included.
        let largest = f32::from(i16::MAX) - self.sums.len() as f32;
        let unit = token.iter().map(|x| x.abs()).sum::<f32>() / largest;
        if unit <= 0.0 {
            return;
        }
        for (sums, four) in self.sums.iter_mut().zip(token.chunks(4)) {
            for (value, sums) in sums.iter_mut().enumerate() {
                let signed = four
                    .iter()
                    .enumerate()
                    .map(|(bit, x)| if value >> bit & 1 == 1 { *x } else { -x });
                sums[lane] = (signed.sum::<f32>() / unit).round() as i16;
            }
        }
        // A code, read as +1 and -1, has the length √width.
        self.units[lane] = weight * unit / (length * (token.len() as f32).sqrt());
    }

    /// Returns the weighted sum, over the block's tokens, of the cosine to the closest of the codes.
    fn score(&self, codes: &[u8], code_len: usize) -> f32 {
        let mut best = [i16::MIN; LANES];
        for code in codes.chunks_exact(code_len) {
            let mut all = [0; LANES];
            for (byte, [low, high]) in code.iter().zip(self.sums.as_chunks::<2>().0) {
                let low = &low[usize::from(byte & 15)];
                let high = &high[usize::from(byte >> 4)];
                for lane in 0..LANES {
                    all[lane] += low[lane] + high[lane];
                }
            }
            for lane in 0..LANES {
                best[lane] = best[lane].max(all[lane]);
            }
        }
        let weighted = best.iter().zip(&self.units);
        weighted.map(|(best, unit)| f32::from(*best) * unit).sum()
    }
}

impl QueryTokens {
    /// Returns the weighted mean, over the query's tokens, of the cosine to the chunk's closest token, about 0 to 1.
    /// `None` when `codes` are no codes of this embedder, or none.
    #[must_use]
    pub fn score(&self, codes: &[u8]) -> Option<f32> {
        if codes.is_empty() || !codes.len().is_multiple_of(self.code_len) {
            return None;
        }
        let blocks = self.blocks.iter();
        Some(blocks.map(|block| block.score(codes, self.code_len)).sum())
    }

    /// Scores chunks in order, until the `deadline` if there is one. `None` when it came first.
    #[must_use]
    pub fn score_until<'a>(
        &self,
        codes: impl Iterator<Item = &'a [u8]>,
        deadline: Option<Instant>,
    ) -> Option<Vec<Option<f32>>> {
        codes
            .map(|codes| {
                let in_time = deadline.is_none_or(|deadline| Instant::now() < deadline);
                in_time.then(|| self.score(codes))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(rows: &[&[f32]]) -> TokenStates {
        TokenStates {
            ids: (0..rows.len()).map(|at| 1_000 * at as u32).collect(),
            states: rows.concat(),
        }
    }

    fn codec() -> TokenCodec {
        TokenCodec {
            center: vec![1.0; 12],
        }
    }

    /// 12 dimensions around the center 1, as in [`codec`].
    fn around(signs: [f32; 12]) -> Vec<f32> {
        signs.iter().map(|sign| 1.0 + sign * 0.5).collect()
    }

    const UP: [f32; 12] = [1.0; 12];
    const MIXED: [f32; 12] = [
        1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0,
    ];

    #[test]
    fn codes_are_the_signs_around_the_center() {
        let codes = codec().encode(&tokens(&[&around(UP), &around(MIXED)]));
        assert_eq!(codes, [0xFF, 0x0F, 0x55, 0x05]);
        assert_eq!(codec().code_len(), 2);
    }

    #[test]
    fn a_token_that_is_there_scores_one_and_the_order_of_tokens_does_not_matter() {
        let (up, mixed) = (around(UP), around(MIXED));
        let query = codec().query(&tokens(&[&up, &mixed])).unwrap();
        let score = |rows: &[&[f32]]| query.score(&codec().encode(&tokens(rows))).unwrap();
        assert!((score(&[&up, &mixed]) - 1.0).abs() < 1e-5);
        assert!((score(&[&mixed, &up, &up]) - 1.0).abs() < 1e-5);
        // UP and MIXED are orthogonal, and the second, rarer token counts more.
        assert!(score(&[&up]) < score(&[&mixed]));
        assert!((score(&[&up]) + score(&[&mixed]) - 1.0).abs() < 1e-5);
    }

    /// The formula as it is written down: weighted mean of the best cosines.
    fn plainly(codec: &TokenCodec, query: &TokenStates, codes: &[u8]) -> f32 {
        let width = codec.center.len();
        let (mut sum, mut weights) = (0.0, 0.0);
        for (id, row) in query.ids.iter().zip(query.rows()) {
            let centered = row.iter().zip(&codec.center).map(|(x, mean)| x - mean);
            let centered: Vec<f32> = centered.collect();
            let length = centered.iter().map(|x| x * x).sum::<f32>().sqrt();
            let cosine = |code: &[u8]| {
                let sign = |at: usize| f32::from(code[at / 8] >> (at % 8) & 1) * 2.0 - 1.0;
                let dot: f32 = (0..width).map(|at| centered[at] * sign(at)).sum();
                dot / (length * (width as f32).sqrt())
            };
            let best = codes.chunks(codec.code_len()).map(cosine);
            sum += rarity(*id) * best.fold(f32::NEG_INFINITY, f32::max);
            weights += rarity(*id);
        }
        sum / weights
    }

    #[test]
    fn looked_up_sums_give_the_cosines() {
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        // Widths that fill bytes and vectors, and such that do not; one dimension that outweighs the others.
        for (width, n_query, n_chunk) in [(384, 20, 60), (12, 3, 5), (131, 9, 40), (1024, 8, 30)] {
            let codec = TokenCodec::new((0..width).map(|_| random()).collect());
            let mut states = |n: usize| {
                let mut states: Vec<f32> = (0..n * width).map(|_| random()).collect();
                states.iter_mut().step_by(width).for_each(|x| *x *= 30.0);
                TokenStates {
                    ids: (0..n).map(|at| 997 * at as u32).collect(),
                    states,
                }
            };
            let (query, chunk) = (states(n_query), states(n_chunk));
            let codes = codec.encode(&chunk);
            let score = codec.query(&query).unwrap().score(&codes).unwrap();
            let expected = plainly(&codec, &query, &codes);
            assert!(
                (score - expected).abs() < 2e-4,
                "{width}: {score} {expected}"
            );
        }
    }

    #[test]
    fn a_token_in_the_center_is_like_nothing() {
        let query = codec().query(&tokens(&[&[1.0; 12]])).unwrap();
        assert_eq!(
            query.score(&codec().encode(&tokens(&[&around(UP)]))),
            Some(0.0)
        );
    }

    #[test]
    fn what_cannot_be_compared_has_no_score() {
        let up = around(UP);
        let query = codec().query(&tokens(&[&up])).unwrap();
        assert_eq!(query.score(&[]), None);
        assert_eq!(query.score(&[1, 2, 3]), None);
        assert!(codec().query(&tokens(&[])).is_none());
        assert!(codec().query(&tokens(&[&[1.0, 2.0]])).is_none());
        let none = TokenCodec { center: Vec::new() };
        assert!(none.query(&tokens(&[&up])).is_none());
    }

    #[test]
    fn what_is_kept_is_restored_to_the_bit() {
        let codec = TokenCodec {
            center: vec![0.1, -1.0 / 3.0, f32::MIN_POSITIVE],
        };
        assert_eq!(
            TokenCodec::from_json(&codec.to_json().unwrap()).unwrap(),
            codec
        );
        assert!(TokenCodec::from_json("{").is_err());
    }

    #[test]
    fn a_deadline_that_has_passed_ends_it() {
        let up = around(UP);
        let query = codec().query(&tokens(&[&up])).unwrap();
        let codes = codec().encode(&tokens(&[&up]));
        let now = Instant::now();
        assert_eq!(query.score_until([&codes[..]].into_iter(), Some(now)), None);
        let later = now + std::time::Duration::from_secs(60);
        let scores = query
            .score_until([&codes[..], &[]].into_iter(), Some(later))
            .unwrap();
        assert!(scores[0].is_some() && scores[1].is_none());
    }
}
