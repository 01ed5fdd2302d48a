use super::*;

#[test]
fn lists_are_paged_and_interrupted_jobs_are_queued_again() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let jobs: Vec<JobId> = (0..5)
        .map(|at| {
            fixture
                .add(&format!("{at}.txt"), &format!("{at}"), &acl)
                .1
                .unwrap()
        })
        .collect();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = fixture
            .catalog
            .documents(&Collections::All, &access, after.as_deref(), 2)
            .unwrap();
        seen.extend(page.items.into_iter().map(|document| document.source));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt"]);
    let all = JobFilter::default();
    let newest = fixture.catalog.jobs(&all, None, 2).unwrap();
    assert_eq!(
        newest.items.iter().map(|job| job.id).collect::<Vec<_>>(),
        [jobs[4], jobs[3]]
    );
    assert_eq!(
        fixture
            .catalog
            .jobs(&all, newest.next.as_deref(), 2)
            .unwrap()
            .items[0]
            .id,
        jobs[2]
    );

    assert_eq!(fixture.claim(2), jobs[..2]);
    assert_eq!(fixture.catalog.queued_jobs(10).unwrap().len(), 3);
    assert_eq!(fixture.catalog.requeue_interrupted().unwrap(), 2);
    assert_eq!(fixture.claim(10), jobs);
}

#[test]
fn a_job_that_ends_the_process_again_and_again_runs_alone_and_then_fails() {
    let fixture = fixture();
    let (_, job, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let job = job.unwrap();
    let mut n_starts = 0;
    while fixture.state(job) == JobState::Queued {
        if n_starts < 3 {
            assert_eq!(fixture.claim(10), [job]);
        } else {
            assert!(fixture.claim(10).is_empty());
            assert_eq!(fixture.catalog.claim_suspect().unwrap().unwrap().id, job);
        }
        fixture.catalog.requeue_interrupted().unwrap();
        n_starts += 1;
        assert!(n_starts <= 10);
    }
    let failed = fixture.catalog.job(job).unwrap();
    assert_eq!(
        (failed.state, failed.reason),
        (JobState::Failed, Some(Reason::Crashed))
    );
    assert!(failed.error.unwrap().contains("10 times"));
    // A person may have it tried again from the beginning.
    assert_eq!(fixture.catalog.retry_job(job).unwrap().attempts, 0);
    assert_eq!(fixture.claim(10), [job]);
}

#[test]
fn urgent_jobs_go_first_and_large_files_can_be_left_for_later() {
    let fixture = fixture();
    let add = |source: &str, priority, size_bytes| {
        let new = NewVersion {
            collection: fixture.collection.id,
            source,
            media_type: "text/plain",
            size_bytes,
            sha256: source,
            acl: &Acl::everyone().into(),
            metadata: &MetadataChange::default(),
            priority,
            request: None,
        };
        fixture.catalog.add_document(&new).unwrap().1.unwrap()
    };
    let low = add("low", Priority::Low, 1);
    let large = add("large", Priority::Normal, 1000);
    let normal = add("normal", Priority::Normal, 1);
    let high = add("high", Priority::High, 1);
    let claim = |priority, max_bytes| {
        let claim = Claim {
            limit: 1,
            priority,
            max_bytes,
        };
        let taken = fixture.catalog.claim_jobs(claim).unwrap();
        taken.first().map(|job| job.id)
    };
    assert_eq!(claim(Priority::High, 10), Some(high));
    assert_eq!(claim(Priority::High, 10), None);
    assert_eq!(claim(Priority::Low, 10), Some(normal));
    // Who adds it again is in a hurry.
    assert_eq!(add("low", Priority::High, 1), low);
    assert_eq!(claim(Priority::High, 10), Some(low));
    assert_eq!(claim(Priority::Low, 10), None);
    assert_eq!(claim(Priority::Low, u64::MAX), Some(large));
}

#[test]
fn a_cancelled_job_publishes_nothing_until_it_is_retried() {
    let fixture = fixture();
    let (acl, access) = only("hr");
    let (document, job, _) = fixture.add("a.txt", "aa", &acl);
    let job = job.unwrap();
    fixture.claim(1);
    assert_eq!(
        fixture.catalog.cancel_job(job).unwrap().state,
        JobState::Cancelled
    );
    assert!(fixture.publish(job, "text").is_empty());
    let status = fixture.catalog.document(document, &access).unwrap().status;
    assert_eq!(status, DocumentStatus::Failed);
    assert!(matches!(
        fixture.catalog.cancel_job(job),
        Err(Error::JobState {
            state: "cancelled",
            ..
        })
    ));

    assert_eq!(
        fixture.catalog.retry_job(job).unwrap().state,
        JobState::Queued
    );
    let status = fixture.catalog.document(document, &access).unwrap().status;
    assert_eq!(status, DocumentStatus::Pending);
    assert_eq!(fixture.publish(job, "text"), [document]);
    assert!(matches!(
        fixture.catalog.retry_job(job),
        Err(Error::JobState { state: "done", .. })
    ));
    let nowhere = JobId(Uuid::now_v7());
    assert!(matches!(
        fixture.catalog.cancel_job(nowhere),
        Err(Error::UnknownJob { .. })
    ));
}

#[test]
fn attempts_wait_for_their_time_and_are_counted() {
    let fixture = fixture();
    let (_, job, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let job = job.unwrap();
    fixture.claim(1);
    let wait = Duration::from_secs(3600);
    fixture
        .catalog
        .retry_later(job, Reason::Timeout, "too slow", wait)
        .unwrap();
    let waiting = fixture.catalog.job(job).unwrap();
    assert_eq!((waiting.state, waiting.attempts), (JobState::Queued, 1));
    assert_eq!(waiting.reason, Some(Reason::Timeout));
    assert_eq!(
        fixture.catalog.next_attempt().unwrap(),
        waiting.next_attempt_at
    );
    assert!(fixture.claim(1).is_empty(), "it is not due");
    let counts = fixture.catalog.job_counts().unwrap();
    assert_eq!(
        (counts.of(JobState::Queued), counts.waiting_to_retry),
        (1, 1)
    );

    fixture
        .catalog
        .fail_job(job, Reason::Timeout, "too slow")
        .unwrap();
    let of = |reason, state| JobFilter {
        reason,
        state,
        collection_name: None,
    };
    let found = |filter: &JobFilter| fixture.catalog.jobs(filter, None, 10).unwrap().items.len();
    assert_eq!(found(&of(Some(Reason::Timeout), Some(JobState::Failed))), 1);
    assert_eq!(found(&of(Some(Reason::Crashed), None)), 0);
    assert_eq!(found(&of(None, Some(JobState::Queued))), 0);
    assert_eq!(
        fixture.catalog.retry_failed(Some(Reason::Crashed)).unwrap(),
        0
    );
    assert_eq!(fixture.catalog.retry_failed(None).unwrap(), 1);
    assert_eq!(fixture.claim(1), [job]);
}

#[test]
fn failed_jobs_of_older_versions_are_not_retried() {
    let fixture = fixture();
    let (_, first, _) = fixture.add("a.txt", "aa", &Acl::everyone());
    let first = first.unwrap();
    fixture
        .catalog
        .fail_job(first, Reason::NoText, "no text")
        .unwrap();
    fixture.add("a.txt", "bb", &Acl::everyone());
    assert_eq!(fixture.catalog.retry_failed(None).unwrap(), 0);
    assert!(matches!(
        fixture.catalog.retry_job(first),
        Err(Error::JobState { .. })
    ));
}

#[test]
fn a_pause_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    Catalog::open(&path).unwrap().pause_jobs().unwrap();
    let catalog = Catalog::open(&path).unwrap();
    assert!(catalog.jobs_paused_since().unwrap().is_some());
    catalog.resume_jobs().unwrap();
    assert_eq!(catalog.jobs_paused_since().unwrap(), None);
}
