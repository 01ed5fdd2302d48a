use super::*;
use kura_models::fake::FakeReranker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Texts of lengths 1 to `n`, in an order that is neither that nor the reverse.
fn texts(n: usize) -> Vec<String> {
    (0..n).map(|at| "x".repeat(at * 7 % n + 1)).collect()
}

fn by_length() -> FakeReranker {
    FakeReranker::new(|_, text| Some(text.len() as f32))
}

fn after(ms: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(ms))
}

#[tokio::test]
async fn scores_come_in_the_order_of_the_texts() {
    for n in [0, 1, 2, 3, 37] {
        let texts = texts(n);
        let scores = score_until(&by_length(), "q", &texts, None).await.unwrap();
        let lengths: Vec<f32> = texts.iter().map(|text| text.len() as f32).collect();
        assert_eq!(scores.unwrap(), lengths);
    }
    let in_time = score_until(&by_length(), "q", &texts(37), after(60_000)).await;
    assert!(in_time.unwrap().is_some());
}

#[tokio::test]
async fn a_model_too_slow_is_found_out_early_and_gives_nothing() {
    let n_read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_read);
    let slow = FakeReranker::new(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(1.0)
    })
    .with_delay(Duration::from_millis(20));
    // 64 texts would take 1,280 ms.
    let begun = Instant::now();
    let many = vec!["text".to_owned(); 64];
    let scores = score_until(&slow, "q", &many, after(1_000)).await;
    assert_eq!(scores.unwrap(), None);
    assert!(begun.elapsed() < Duration::from_millis(900), "{begun:?}");
    assert!(n_read.load(Ordering::Relaxed) < 32);
    // One batch alone would take too long: it is not waited for.
    let stuck = FakeReranker::new(|_, _| Some(1.0)).with_delay(Duration::from_secs(5));
    let begun = Instant::now();
    let scores = score_until(&stuck, "q", &texts(4), after(50)).await;
    assert_eq!(scores.unwrap(), None);
    assert!(begun.elapsed() < Duration::from_secs(2));
    // The time was up before the stage began.
    let scores = score_until(&by_length(), "q", &texts(4), Some(begun)).await;
    assert_eq!(scores.unwrap(), None);
}

#[tokio::test]
async fn a_model_that_fails_is_an_error_not_an_order() {
    let broken = FakeReranker::new(|_, text| if text.len() == 1 { None } else { Some(1.0) });
    assert!(
        score_until(&broken, "q", &texts(9), after(60_000))
            .await
            .is_err()
    );
}
