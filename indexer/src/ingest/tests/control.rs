use super::*;

#[tokio::test]
async fn nothing_starts_while_the_queue_is_paused() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    pipeline.pause_jobs().await.unwrap();
    let job = add(&pipeline, "c", "a.md", "text").await.job.unwrap();
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Queued);
    let summary = pipeline.jobs_summary().await.unwrap();
    assert!(summary.paused_since.is_some());
    assert_eq!(summary.counts.of(JobState::Queued), 1);
    assert!(summary.counts.oldest_queued.is_some());
    drop(pipeline);
    let pipeline = open(dir.path(), &embedder).await;
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Queued);
    pipeline.resume_jobs().await.unwrap();
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Done);
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    embedder.close();
    let job = add(&pipeline, "c", "a.md", &document(&["alpha"]))
        .await
        .job
        .unwrap();
    let running = tokio::spawn({
        let pipeline = Arc::clone(&pipeline);
        async move { run(&pipeline).await }
    });
    embedder.wait_until_called().await;
    let seen = pipeline.job(job).await.unwrap();
    assert_eq!((seen.state, seen.n_chunks), (JobState::Running, 1));
    assert_eq!(seen.stage, Some(crate::catalog::Stage::Embed));
    let cancelled = pipeline.cancel_job(job).await.unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    embedder.gate.add_permits(100);
    running.await.unwrap();
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Cancelled);
    assert!(found(&pipeline, "alpha").await.is_empty());
    assert!(pipeline.store.inventory().await.unwrap().is_empty());

    pipeline.retry_job(job).await.unwrap();
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Done);
    assert_eq!(found(&pipeline, "alpha").await, ["a.md"]);
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    embedder.close();
    let job = add(&pipeline, "c", "a.md", "some text").await.job.unwrap();
    let cut_off = tokio::spawn({
        let pipeline = Arc::clone(&pipeline);
        async move { run(&pipeline).await }
    });
    embedder.wait_until_called().await;
    cut_off.abort();
    assert!(cut_off.await.unwrap_err().is_cancelled());
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Running);
    embedder.gate.add_permits(100);
    run(&pipeline).await;
    assert_eq!(pipeline.job(job).await.unwrap().state, JobState::Done);
}

#[tokio::test]
async fn a_document_deleted_while_it_is_embedded_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Watched::new();
    let pipeline = open(dir.path(), &embedder).await;
    add(&pipeline, "c", "kept.md", &document(&["beta"])).await;
    run(&pipeline).await;
    embedder.take();
    embedder.close();
    let added = add(&pipeline, "c", "a.md", &document(&["alpha"])).await;
    // A second version of the other is replaced by a third.
    add(&pipeline, "c", "kept.md", &document(&["gamma"])).await;
    let running = tokio::spawn({
        let pipeline = Arc::clone(&pipeline);
        async move { run(&pipeline).await }
    });
    embedder.wait_until_called().await;
    let access = AccessFilter::unrestricted("test");
    // Deleting does not wait for the embedder.
    let deleted = pipeline.delete_document(added.document.id, &access);
    tokio::time::timeout(Duration::from_secs(10), deleted)
        .await
        .unwrap()
        .unwrap();
    add(&pipeline, "c", "kept.md", &document(&["delta"])).await;
    embedder.gate.add_permits(100);
    running.await.unwrap();
    run(&pipeline).await;
    let inventory = pipeline.store.inventory().await.unwrap();
    assert_eq!(inventory.len(), 1, "{inventory:?}");
    assert_eq!(inventory[0].version, 3);
    assert_eq!(found(&pipeline, "delta").await, ["kept.md"]);
}
