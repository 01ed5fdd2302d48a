//! Measures late interaction beside the same computed dimension by dimension.
//!
//! `cargo run --release --example late_interaction`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measuring program for developers: it prints, and stops at the first thing that is wrong"
)]

use kura_indexer::late::TokenCodec;
use kura_models::TokenStates;
use std::time::Instant;

const WIDTH: usize = 384;
const CHUNKS: usize = 100;
const TOKENS_PER_CHUNK: usize = 200;
const TURNS: usize = 7;

fn main() {
    let mut random = Random(1);
    let codec = TokenCodec::new(vec![0.0; WIDTH]);
    let chunks: Vec<Vec<u8>> = (0..CHUNKS)
        .map(|_| codec.encode(&random.states(TOKENS_PER_CHUNK)))
        .collect();
    println!("{CHUNKS} chunks of {TOKENS_PER_CHUNK} tokens, {WIDTH} dimensions, one thread");
    println!(
        "| tokens of the query | by dimension, ms | looked up, ms | ratio | largest difference |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for n_tokens in [8, 16, 32, 64] {
        let query = random.states(n_tokens);
        let (mut plain_ms, mut own_ms, mut difference) = (f64::INFINITY, f64::INFINITY, 0.0_f32);
        // Best of several turns, one after the other, so that other work on the machine hits both.
        for _ in 0..TURNS {
            let started = Instant::now();
            let plain: Vec<f32> = by_dimension(&query, &chunks);
            plain_ms = plain_ms.min(started.elapsed().as_secs_f64() * 1e3);
            let started = Instant::now();
            let prepared = codec.query(&query).expect("the query has tokens");
            let own: Vec<f32> = chunks
                .iter()
                .map(|codes| prepared.score(codes).expect("the codes are the codec's"))
                .collect();
            own_ms = own_ms.min(started.elapsed().as_secs_f64() * 1e3);
            let differences = plain.iter().zip(&own).map(|(a, b)| (a - b).abs());
            difference = differences.fold(difference, f32::max);
        }
        println!(
            "| {n_tokens} | {plain_ms:.2} | {own_ms:.2} | {:.1} | {difference:.6} |",
            plain_ms / own_ms
        );
    }
}

/// Adds and subtracts every dimension, in lanes for the compiler's vector instructions.
fn by_dimension(query: &TokenStates, chunks: &[Vec<u8>]) -> Vec<f32> {
    let weights: Vec<f32> = query.ids.iter().map(|id| (2.0 + *id as f32).ln()).collect();
    let total: f32 = weights.iter().sum();
    let mut rows: Vec<f32> = Vec::new();
    for (weight, row) in weights.iter().zip(query.rows()) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = weight / total / (length * (WIDTH as f32).sqrt());
        rows.extend(row.iter().map(|x| x * scale));
    }
    let score = |codes: &Vec<u8>| {
        let mut best = vec![f32::NEG_INFINITY; weights.len()];
        let mut signs = [0.0; WIDTH];
        for code in codes.chunks_exact(WIDTH / 8) {
            for (byte, signs) in code.iter().zip(signs.as_chunks_mut::<8>().0) {
                *signs = std::array::from_fn(|bit| f32::from(byte >> bit & 1) * 2.0 - 1.0);
            }
            for (best, row) in best.iter_mut().zip(rows.chunks_exact(WIDTH)) {
                *best = best.max(dot(row, &signs));
            }
        }
        best.iter().sum()
    };
    chunks.iter().map(score).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    fn states(&mut self, n_tokens: usize) -> TokenStates {
        let states = (0..n_tokens * WIDTH).map(|_| self.next()).collect();
        TokenStates {
            ids: (0..n_tokens).map(|at| 997 * at as u32).collect(),
            states,
        }
    }

    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5
    }
}
