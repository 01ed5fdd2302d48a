use super::*;
use crate::document::DocumentId;
use uuid::Uuid;

const LIMIT: usize = 50;

fn chunk(ordinal: u32) -> ChunkId {
    ChunkId {
        document: DocumentId(Uuid::nil()),
        version: 1,
        ordinal,
    }
}

/// Legs of chunks with their scores.
fn legs(dense: &[(u32, f32)], lexical: &[(u32, f32)]) -> Legs {
    let leg = |hits: &[(u32, f32)]| {
        hits.iter()
            .map(|&(ordinal, score)| Scored {
                chunk: chunk(ordinal),
                score,
            })
            .collect()
    };
    Legs {
        dense: leg(dense),
        lexical: leg(lexical),
        ..Legs::default()
    }
}

fn reciprocal(k: f32) -> Fusion {
    Fusion {
        method: FusionMethod::ReciprocalRank { k },
        ..Fusion::default()
    }
}

fn order(fused: &[Fused]) -> Vec<u32> {
    fused.iter().map(|f| f.candidate.chunk.ordinal).collect()
}

fn fused(legs: &Legs, how: &Fusion) -> Vec<Fused> {
    fuse(&candidates(legs, LIMIT), LIMIT, how)
}

#[test]
fn a_leg_whose_first_hit_stands_out_decides() {
    // The dense leg finds all about equally close; the lexical leg has one clear winner.
    let dense: Vec<(u32, f32)> = (1..=8).map(|n| (n, 0.9 - 0.005 * n as f32)).collect();
    let lexical = [(4, 30.0), (1, 5.0), (2, 4.9), (3, 4.8), (5, 4.7), (6, 4.6)];
    let legs = legs(&dense, &lexical);
    assert_eq!(order(&fused(&legs, &Fusion::default()))[0], 4);
    // By ranks alone the first of the dense leg would be ahead.
    assert_eq!(order(&fused(&legs, &reciprocal(60.0)))[0], 1);
}

#[test]
fn agreement_beats_a_single_first_rank() {
    let legs = legs(
        &[(1, 0.9), (2, 0.8), (3, 0.7)],
        &[(4, 9.0), (2, 8.0), (5, 7.0)],
    );
    let found = fused(&legs, &reciprocal(60.0));
    assert_eq!(order(&found), [2, 1, 4, 3, 5]);
    assert!((found[0].score - 2.0 / 62.0).abs() < 1e-7);
    assert_eq!(found[0].candidate.dense.unwrap().rank, 2);
    assert_eq!(found[1].candidate.lexical, None);
    assert_eq!(order(&fused(&legs, &Fusion::default()))[0], 2);
}

#[test]
fn the_parts_add_up_and_late_interaction_can_be_taken_off() {
    let legs = legs(&[(1, 0.9), (2, 0.8)], &[(2, 3.0)]);
    let mut known = candidates(&legs, LIMIT);
    known[0].late = Some(0.2);
    known[1].late = Some(0.6);
    let found = fuse(&known, LIMIT, &Fusion::default());
    assert_eq!(order(&found), [2, 1]);
    for f in &found {
        assert!((f.score - (f.parts.dense + f.parts.lexical + f.parts.late)).abs() < 1e-6);
        assert!((f.hybrid() - (f.score - f.parts.late)).abs() < 1e-6);
    }
    assert!((found[0].parts.late - 1.5).abs() < 1e-4);
}

#[test]
fn a_word_that_only_few_have_counts_as_nothing_for_the_others() {
    // One lexical hit of fifty asked for: the others have none of the words.
    let legs = legs(&[(1, 0.9), (2, 0.8), (3, 0.7)], &[(3, 2.0)]);
    let found = fused(&legs, &Fusion::default());
    assert!(
        found
            .iter()
            .find(|f| f.candidate.chunk == chunk(3))
            .unwrap()
            .parts
            .lexical
            > 1.0
    );
    assert!(
        found
            .iter()
            .find(|f| f.candidate.chunk == chunk(1))
            .unwrap()
            .parts
            .lexical
            < 0.0
    );
}

#[test]
fn weights_decide_between_the_legs() {
    let legs = legs(&[(1, 0.9), (3, 0.5)], &[(2, 9.0), (4, 1.0)]);
    for method in [
        FusionMethod::Standardized,
        FusionMethod::ReciprocalRank { k: 60.0 },
    ] {
        let weighed = |dense_weight, lexical_weight| Fusion {
            method,
            dense_weight,
            lexical_weight,
            late_weight: 1.0,
            ..Fusion::default()
        };
        assert_eq!(order(&fused(&legs, &weighed(0.5, 1.0)))[0], 2);
        assert_eq!(order(&fused(&legs, &weighed(1.0, 0.5)))[0], 1);
    }
}

#[test]
fn ties_go_by_id_and_repeats_count_once() {
    let legs = legs(&[(9, 0.5), (9, 0.5)], &[(3, 0.5)]);
    assert_eq!(order(&fused(&legs, &reciprocal(60.0))), [3, 9]);
    let alike = super::candidates(&self::legs(&[(9, 0.5), (3, 0.5)], &[]), LIMIT);
    let found = fuse(&alike, LIMIT, &Fusion::default());
    assert_eq!(order(&found), [3, 9]);
    assert!(found.iter().all(|f| f.score == 0.0));
}

#[test]
fn nothing_in_gives_nothing_out() {
    assert!(fused(&legs(&[], &[]), &Fusion::default()).is_empty());
}

#[test]
fn newer_documents_gain_at_most_the_weight_and_only_when_asked() {
    let mut found = candidates(&legs(&[(1, 0.9), (2, 0.9), (3, 0.9), (4, 0.9)], &[]), LIMIT);
    for (candidate, age) in found
        .iter_mut()
        .zip([Some(730.0), Some(365.0), None, Some(-3.0)])
    {
        candidate.age_days = age;
    }
    let off = fuse(&found, LIMIT, &Fusion::default());
    assert_eq!(order(&off), [1, 2, 3, 4]);
    assert!(off.iter().all(|f| f.parts.recency.abs() < f32::EPSILON));
    let how = Fusion {
        recency_weight: 0.4,
        ..Fusion::default()
    };
    let on = fuse(&found, LIMIT, &how);
    assert_eq!(order(&on), [4, 2, 1, 3]);
    let parts: Vec<f32> = on.iter().map(|f| f.parts.recency).collect();
    for (part, expected) in parts.iter().zip([0.4, 0.2, 0.1, 0.0]) {
        assert!((part - expected).abs() < 1e-6, "{parts:?}");
    }
    assert!((on[0].score - (on[0].hybrid() + on[0].parts.late)).abs() < 1e-6);
}

#[test]
fn in_a_query_of_one_word_those_that_have_it_come_first() {
    // Near-identical notes of which one has the made-up word; to the embedder it is the least alike.
    let dense: Vec<(u32, f32)> = (0..50)
        .map(|n| (n, 0.9 - 0.0001 * n as f32))
        .chain([(99, 0.85)])
        .collect();
    let mut found = candidates(&legs(&dense, &[(99, 6.0)]), 2 * LIMIT);
    for candidate in &mut found {
        candidate.late = candidate.cosine;
    }
    let first = |query: &str| {
        let how = Fusion::default().for_query(query);
        order(&fuse(&found, 2 * LIMIT, &how))[0]
    };
    assert_eq!(first("zqabcdx"), 99);
    assert_eq!(first(" AB-1234? "), 99);
    assert_eq!(first("which note"), 0);
    // A Japanese sentence has no blanks either.
    assert_eq!(first("有給休暇は何日ですか"), 0);
}

/// Chunks with these scores by the keyword leg alone, and unit vectors in the plane by their angles.
fn leaning(scores_and_angles: &[(f32, f32)], weight: f32) -> Vec<Fused> {
    let lexical: Vec<(u32, f32)> = (1..)
        .zip(scores_and_angles)
        .map(|(n, (score, _))| (n, *score))
        .collect();
    let mut found = fused(&legs(&[], &lexical), &Fusion::default());
    let vectors: Vec<[f32; 2]> = found
        .iter()
        .map(|f| {
            let (_, angle) = scores_and_angles[f.candidate.chunk.ordinal as usize - 1];
            [angle.cos(), angle.sin()]
        })
        .collect();
    let vectors: Vec<&[f32]> = vectors.iter().map(|v| v.as_slice()).collect();
    lean_on_neighbors(&mut found, &vectors, weight);
    found
}

#[test]
fn good_company_lifts_a_candidate() {
    // 3 lies among the best two, 4 with the worst two; by their own scores 4 is ahead.
    let all = [
        (9.0, 0.0),
        (8.5, 0.05),
        (5.0, 0.02),
        (5.5, 1.5),
        (1.0, 1.48),
        (0.5, 1.52),
    ];
    assert_eq!(order(&leaning(&all, 0.0)), [1, 2, 4, 3, 5, 6]);
    let found = leaning(&all, 0.5);
    assert_eq!(order(&found), [1, 2, 3, 4, 5, 6]);
    for f in &found {
        let sum = f.hybrid() + f.parts.late + f.parts.neighbors;
        assert!((f.score - sum).abs() < 1e-6);
    }
    // Whatever their company, all stay between the best and the worst score.
    let own = leaning(&all, 0.0);
    let range = own[5].score..=own[0].score;
    assert!(leaning(&all, 1.0).iter().all(|f| range.contains(&f.score)));
    assert_eq!(order(&leaning(&all[..1], 0.5)), [1]);
    assert!(leaning(&[], 0.5).is_empty());
}

#[test]
fn neighbors_count_in_long_queries_only() {
    let weight = |query: &str| Fusion::default().for_query(query).neighbor_weight;
    assert_eq!(weight("who approves leave"), 0.0);
    assert_eq!(
        weight("年次有給休暇を一度に十日以上まとめて取るには誰の承認が要りますか"),
        0.0
    );
    let words = |n: usize| vec!["word"; n].join(" ");
    assert_eq!(weight(&words(8)), 0.0);
    assert!((weight(&words(12)) - 0.25).abs() < 1e-6);
    assert_eq!(weight(&words(16)), 0.5);
    assert_eq!(weight(&words(200)), 0.5);
}
