use super::super::record::tests::record;
use super::*;

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn equal_runs_never_fail_a_limit() {
    let values: Vec<f64> = (0..30).map(|at| f64::from(at % 4) / 3.0).collect();
    for _ in 0..10 {
        let found = compare(&record(&values), &record(&values), None).unwrap();
        let ndcg = found.metric("ndcg@10").unwrap();
        assert_eq!((ndcg.difference, ndcg.p_value), (0.0, Some(1.0)));
        assert_eq!((ndcg.low, ndcg.high), (0.0, 0.0));
        assert_eq!((ndcg.wins, ndcg.losses, ndcg.ties), (0, 0, 30));
        assert!(found.changes.is_empty());
        assert_eq!(found.provenance, []);
        let verdicts = found
            .judge(&limits(&["ndcg@10:0", "recall@1:-0.0", "p95_ms:0"]))
            .unwrap();
        assert!(verdicts.iter().all(|verdict| verdict.passed));
    }
}

#[test]
fn a_regression_is_found_and_fails_its_limit() {
    let before = vec![1.0; 40];
    let mut after = before.clone();
    for value in after.iter_mut().take(8) {
        *value = 0.5;
    }
    after[8] = 0.0;
    let (base, candidate) = (record(&before), record(&after));
    let found = compare(&base, &candidate, None).unwrap();
    let ndcg = found.metric("ndcg@10").unwrap();
    assert!((ndcg.difference + 0.125).abs() < 1e-12, "{ndcg:?}");
    assert!(ndcg.high < 0.0 && ndcg.p_value.unwrap() < 0.01, "{ndcg:?}");
    assert_eq!((ndcg.wins, ndcg.losses, ndcg.ties), (0, 9, 31));
    assert_eq!(found.changes.len(), 9);
    assert_eq!(found.changes[0].id, "q8", "the worst loss is first");
    for (limit, passed) in [
        ("ndcg@10:-0.02", false),
        ("ndcg@10:-0.125", true),
        ("ndcg@10:-0.2", true),
        ("p95_ms:+50", true),
        ("p95_ms:-1", false),
    ] {
        let verdicts = found.judge(&limits(&[limit])).unwrap();
        assert_eq!(verdicts[0].passed, passed, "{limit}");
    }
    // The other way round it is an improvement of the same size.
    let back = compare(&candidate, &base, None).unwrap();
    assert!((back.metric("ndcg@10").unwrap().difference - 0.125).abs() < 1e-12);
    assert_eq!(back.metric("ndcg@10").unwrap().wins, 9);
}

#[test]
fn the_last_stages_are_compared_even_if_one_is_gone() {
    let base = record(&[1.0, 1.0]);
    let mut candidate = record(&[0.0, 0.0]);
    candidate.summary.stages.pop();
    let found = compare(&base, &candidate, None).unwrap();
    assert_eq!(
        (found.base.stage.as_str(), found.candidate.stage.as_str()),
        ("hybrid", "dense")
    );
    assert_eq!(found.metric("ndcg@10").unwrap().difference, -1.0);
    let error = compare(&base, &candidate, Some("hybrid")).unwrap_err();
    assert!(error.is::<UnknownName>(), "{error:#}");
    assert!(error.to_string().ends_with("known are dense"), "{error:#}");
}

#[test]
fn only_common_queries_count_and_that_is_said() {
    let base = record(&[1.0, 1.0, 0.0, 0.0]);
    let candidate = record(&[1.0, 1.0]);
    let found = compare(&base, &candidate, None).unwrap();
    assert_eq!(found.queries, 2);
    assert_eq!(found.metric("ndcg@10").unwrap().base, 1.0);
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
}

#[test]
fn what_does_not_compare_is_refused_with_the_reason() {
    let base = record(&[1.0]);
    let mut other_set = record(&[1.0]);
    other_set.summary.dataset.sha256 = "f".repeat(64);
    let mut other_kind = record(&[1.0]);
    other_kind.summary.kind = Kind::Grounding;
    let mut running = record(&[1.0]);
    running.summary.state = State::Running;
    for (candidate, word) in [
        (other_set, "different data sets"),
        (other_kind, "different kinds"),
        (running, "still running"),
    ] {
        let error = compare(&base, &candidate, None).unwrap_err();
        assert!(error.to_string().contains(word), "{error:#}");
    }
}

#[test]
fn changed_settings_are_named() {
    let base = record(&[1.0]);
    let mut candidate = record(&[1.0]);
    candidate.summary.provenance.config["retrieval"]["rrf_k"] = 10.0.into();
    let found = compare(&base, &candidate, None).unwrap();
    assert_eq!(
        found.provenance,
        [SettingChange {
            name: "config.retrieval.rrf_k".to_owned(),
            base: Some("60.0".to_owned()),
            candidate: Some("10.0".to_owned()),
        }]
    );
}

#[test]
fn limits_are_read_and_unknown_metrics_are_told() {
    for bad in ["ndcg@10", ":1", "ndcg@10:x", "ndcg@10:inf", ""] {
        assert!(bad.parse::<Limit>().is_err(), "{bad}");
    }
    let found = compare(&record(&[1.0]), &record(&[1.0]), None).unwrap();
    let error = found.judge(&limits(&["map:0"])).unwrap_err().to_string();
    assert!(
        error.contains("ndcg@10") && error.contains("p95_ms"),
        "{error}"
    );
}
