//! The main job on the sample handbook, with real models: the right document is found and cited, questions
//! without an answer are refused.

use futures::StreamExt;
use kura::answer::{
    Answer, AnswerConfig, AnswerEvent, AnswerMode, Assistant, FlagKind, Outcome, Question, answer,
    extractive,
};
use kura::config::{Flags, load};
use kura_indexer::catalog::JobState;
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, Collections, IndexConfig, MetadataChange, Pipeline, SearchFilter,
};
use kura_models::Generator;
use kura_models::fake::FakeGenerator;
use kura_tests::models;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct HandbookQuestion {
    pub(crate) id: String,
    pub(crate) question: String,
    pub(crate) expect_document: Option<String>,
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

pub(crate) fn questions(file: &str) -> Vec<HandbookQuestion> {
    let text = fs_err::read_to_string(fixtures().join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn index_config() -> IndexConfig {
    IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        late_budget: std::time::Duration::from_secs(10),
        collapse_duplicates: true,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    }
}

/// Indexes the handbook into `dir`.
async fn handbook(dir: &Path) -> Arc<Pipeline> {
    let pipeline = Pipeline::open(
        dir,
        models::embedder("multilingual-e5-small"),
        index_config(),
    )
    .await
    .unwrap();
    let collection = pipeline.create_collection("handbook").await.unwrap().id;
    for entry in fs_err::read_dir(fixtures().join("handbook")).unwrap() {
        let path = entry.unwrap().path();
        let new = NewDocument {
            collection,
            source: path.file_name().unwrap().to_string_lossy().into_owned(),
            media_type: None,
            bytes: fs_err::read(&path).unwrap(),
            acl: Acl::everyone().into(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await.unwrap();
    }
    loop {
        let jobs = pipeline.run_queued(&|_, _, _| {}).await.unwrap();
        if jobs.is_empty() {
            return pipeline;
        }
        for job in jobs {
            assert_eq!(job.state, JobState::Done, "{}: {:?}", job.source, job.error);
        }
    }
}

fn answer_config() -> AnswerConfig {
    load(&Flags::default())
        .expect("the defaults are valid")
        .config
        .answer
}

async fn assistant(
    pipeline: Arc<Pipeline>,
    generator: Option<Arc<dyn Generator>>,
) -> Arc<Assistant> {
    let config = answer_config();
    Arc::new(Assistant::new(pipeline, generator, config).await.unwrap())
}

async fn ask(assistant: &Arc<Assistant>, question: &str) -> Answer {
    let question = Question {
        text: question.to_owned(),
        collections: Collections::All,
        history: Vec::new(),
        mode: AnswerMode::Auto,
        filter: SearchFilter::default(),
    };
    let mut events = answer(
        Arc::clone(assistant),
        question,
        AccessFilter::unrestricted("test"),
    );
    while let Some(event) = events.next().await {
        match event {
            AnswerEvent::Completed(answer) => return *answer,
            AnswerEvent::Failed(error) => panic!("{error}"),
            AnswerEvent::Retrieved(_) | AnswerEvent::Delta(_) => {}
        }
    }
    panic!("the stream ended without an answer");
}

/// A citation is right when its quote is, byte for byte, where it says, and the document is the expected one.
async fn cites(pipeline: &Pipeline, answer: &Answer, document: &str) -> bool {
    let access = AccessFilter::unrestricted("test");
    for citation in &answer.citations {
        let text = pipeline
            .document_text(citation.document, &access)
            .await
            .unwrap();
        assert_eq!(&text[citation.quote_span.clone()], citation.quote);
        assert!(
            answer.text[citation.answer_span.end..]
                .trim_start()
                .starts_with('['),
            "{}",
            answer.text
        );
    }
    answer.outcome == Outcome::Grounded
        && answer
            .citations
            .iter()
            .any(|citation| citation.source == document)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_document_is_among_the_first_three() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = handbook(dir.path()).await;
    let access = AccessFilter::unrestricted("test");
    let mut found = 0;
    for question in questions("handbook.questions.jsonl") {
        let request = SearchRequest {
            text: question.question.clone(),
            collections: Collections::All,
            limit: 10,
            filter: SearchFilter::default(),
        };
        let hits = pipeline.search(&request, &access).await.unwrap().hits;
        let mut documents: Vec<&str> = hits.iter().map(|hit| hit.source.as_str()).collect();
        documents.dedup();
        if documents
            .iter()
            .take(3)
            .any(|source| Some(*source) == question.expect_document.as_deref())
        {
            found += 1;
        } else {
            println!("{}: {documents:?}", question.id);
        }
    }
    println!("right document among the first three: {found} of 30");
    assert!(found >= 28, "{found} of 30");
}

#[tokio::test(flavor = "multi_thread")]
async fn extracted_answers_cite_and_questions_without_an_answer_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = handbook(dir.path()).await;
    let assistant = assistant(Arc::clone(&pipeline), None).await;
    let mut cited = 0;
    for question in questions("handbook.questions.jsonl") {
        let answer = ask(&assistant, &question.question).await;
        let right = cites(
            &pipeline,
            &answer,
            question.expect_document.as_deref().unwrap(),
        )
        .await;
        cited += usize::from(right);
        println!(
            "{} {right} support {:.3}: {}",
            question.id,
            answer.support,
            answer.text.replace('\n', " ")
        );
    }
    let mut refused = 0;
    for question in questions("handbook.unanswerable.jsonl") {
        let answer = ask(&assistant, &question.question).await;
        println!(
            "{} support {:.3}: {}",
            question.id,
            answer.support,
            answer.text.replace('\n', " ")
        );
        if answer.outcome == Outcome::NoEvidence {
            assert!(answer.citations.is_empty());
            refused += 1;
        }
    }
    println!("extractive: {cited} of 30 cite the right document; {refused} of 10 refused");
    assert!(cited >= 24, "{cited} of 30");
    assert!(refused >= 9, "{refused} of 10");
}

#[derive(Deserialize)]
struct SeveralParts {
    id: String,
    question: String,
    answers: Vec<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_with_several_parts_are_answered_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = handbook(dir.path()).await;
    let text = fs_err::read_to_string(fixtures().join("handbook.multipart.jsonl")).unwrap();
    let questions: Vec<SeveralParts> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let access = AccessFilter::unrestricted("test");
    let mut answered = [0, 0];
    for (n, decompose) in [false, true].into_iter().enumerate() {
        let config = AnswerConfig {
            decompose,
            ..answer_config()
        };
        let assistant = Assistant::new(Arc::clone(&pipeline), None, config)
            .await
            .unwrap();
        let count = |text: &str| assistant.pipeline.embedder().count_tokens(text);
        for question in &questions {
            let gathered = assistant
                .gather(
                    &question.question,
                    &Collections::All,
                    &SearchFilter::default(),
                    &access,
                )
                .await
                .unwrap();
            assert_eq!(gathered.parts().is_empty(), !decompose, "{}", question.id);
            let passages = assistant.passages(gathered, &access, &count).await.unwrap();
            let extract = squeezed(&extractive::answer(&passages, 1.0).text);
            let has = |part: &Vec<String>| part.iter().any(|a| extract.contains(&squeezed(a)));
            let all = question.answers.iter().all(has);
            answered[n] += usize::from(all);
            println!("{} {decompose} {all}: {extract}", question.id);
        }
    }
    println!(
        "all parts answered: {answered:?} of {}, whole and in parts",
        questions.len()
    );
    assert!(
        answered[1] >= 22 && answered[1] >= answered[0] + 8,
        "{answered:?}"
    );
}

fn squeezed(text: &str) -> String {
    let letters = text.chars().filter(|c| !c.is_whitespace());
    letters.flat_map(char::to_lowercase).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_the_generator_sees_no_answer_the_closest_sentences_are_shown_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = handbook(dir.path()).await;
    let questions = questions("handbook.questions.jsonl");
    let refusing = |config| {
        let generator: Arc<dyn Generator> = Arc::new(FakeGenerator::new(["NOT_FOUND"]));
        Assistant::new(Arc::clone(&pipeline), Some(generator), config)
    };
    let assistant = Arc::new(refusing(answer_config()).await.unwrap());
    let extracting = self::assistant(Arc::clone(&pipeline), None).await;
    let mut n_shown = 0;
    for question in &questions[..5] {
        let shown = ask(&assistant, &question.question).await;
        let extracted = ask(&extracting, &question.question).await;
        // The gate, which no generator is asked behind.
        if extracted.outcome == Outcome::NoEvidence {
            assert_eq!(shown.outcome, Outcome::NoEvidence);
            continue;
        }
        n_shown += 1;
        let (outcome, mode) = (shown.outcome, shown.mode);
        assert_eq!(
            (outcome, mode),
            (Outcome::Grounded, AnswerMode::Extractive),
            "{}",
            question.id
        );
        let [flag] = &shown.flags[..] else {
            panic!("{:?}", shown.flags)
        };
        assert_eq!(flag.kind, FlagKind::ModelRefused);
        assert_eq!(shown.text[flag.answer_span.clone()], flag.text);
        assert_eq!(shown.text, format!("{}\n{}", flag.text, extracted.text));
        assert_eq!(shown.citations.len(), extracted.citations.len());
        for (ours, theirs) in shown.citations.iter().zip(&extracted.citations) {
            assert_eq!(
                shown.text[ours.answer_span.clone()],
                extracted.text[theirs.answer_span.clone()]
            );
            assert_eq!((&ours.quote, ours.marker), (&theirs.quote, theirs.marker));
        }
    }
    assert!(n_shown >= 3, "{n_shown}");
    let trusting = AnswerConfig {
        trust_refusals: true,
        ..answer_config()
    };
    let assistant = Arc::new(refusing(trusting).await.unwrap());
    let answer = ask(&assistant, &questions[0].question).await;
    assert_eq!(answer.outcome, Outcome::NoEvidence);
    assert!(answer.citations.is_empty() && answer.flags.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_answers_cite_and_questions_without_an_answer_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = handbook(dir.path()).await;
    let assistant = assistant(
        Arc::clone(&pipeline),
        Some(models::generator("qwen2.5-coder-1.5b-instruct")),
    )
    .await;
    let mut cited = 0;
    for question in questions("handbook.questions.jsonl") {
        let answer = ask(&assistant, &question.question).await;
        let right = cites(
            &pipeline,
            &answer,
            question.expect_document.as_deref().unwrap(),
        )
        .await;
        cited += usize::from(right);
        println!(
            "{} {right} {:?} {:.0} s {:?}: {}",
            question.id,
            answer.mode,
            answer.timings_ms.total / 1e3,
            answer.flags,
            answer.text.replace('\n', " ")
        );
    }
    let mut refused = 0;
    for question in questions("handbook.unanswerable.jsonl") {
        let answer = ask(&assistant, &question.question).await;
        println!(
            "{} {:?} {:.0} s: {}",
            question.id,
            answer.mode,
            answer.timings_ms.total / 1e3,
            answer.text.replace('\n', " ")
        );
        refused +=
            usize::from(answer.outcome == Outcome::NoEvidence && answer.citations.is_empty());
    }
    println!("generated: {cited} of 30 cite the right document; {refused} of 10 refused");
    assert!(cited >= 24, "{cited} of 30");
    assert!(refused >= 9, "{refused} of 10");
}
