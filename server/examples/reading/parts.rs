//! Questions with several parts: taken apart, and asked whole and in parts.

use super::{
    Needs, QUESTIONS, SEED, all_answers, answer_config, embedder, everyone, index_config, report,
    support, texts,
};
use kura::answer::decompose::decompose;
use kura::answer::passages::Passage;
use kura::answer::{AnswerConfig, Assistant, extractive};
use kura::evaluate::dataset::{Dataset, LabelledQuery};
use kura_indexer::retrieve::{Hit, SearchRequest};
use kura_indexer::{Collections, Pipeline, SearchFilter};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const HITS: usize = 30;
const TOP: usize = 10;

/// Which questions are taken apart.
pub(super) fn singles(set: &Path) -> anyhow::Result<()> {
    let asked = queries(set)?;
    let split: Vec<(&String, Vec<String>)> = asked
        .iter()
        .map(|question| (question, decompose(question)))
        .filter(|(_, parts)| !parts.is_empty())
        .collect();
    println!(
        "{}: {} of {} taken apart",
        set.display(),
        split.len(),
        asked.len()
    );
    for (question, parts) in split {
        println!("  {question}\n    {parts:?}");
    }
    Ok(())
}

fn queries(set: &Path) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(alias = "question")]
        text: String,
    }
    let path = if set.is_dir() {
        set.join("queries.jsonl")
    } else {
        set.to_owned()
    };
    let rows = fs_err::read_to_string(path)?;
    rows.lines()
        .map(|line| Ok(serde_json::from_str::<Row>(line)?.text))
        .collect()
}

pub(super) async fn parts(
    models: &str,
    data: &str,
    set: &str,
    n_pairs: usize,
) -> anyhow::Result<()> {
    let dataset = Dataset::read(Path::new(set))?;
    let pipeline = Pipeline::open(Path::new(data), embedder(models)?, index_config()).await?;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut questions: Vec<&LabelledQuery> = dataset
        .queries
        .iter()
        .filter(|query| {
            query.answerability == kura::evaluate::record::Answerability::Answerable
                && !query.relevant.is_empty()
        })
        .filter(|query| decompose(&query.text).is_empty())
        .collect();
    questions.shuffle(&mut random);
    let needs = |query: &LabelledQuery| Needs {
        text: query.text.clone(),
        documents: query.relevant.keys().cloned().collect(),
        answers: vec![query.answers.clone()],
    };
    let pairs: Vec<Needs> = questions
        .chunks_exact(2)
        .filter(|pair| pair[0].relevant.keys().ne(pair[1].relevant.keys()))
        .take(n_pairs)
        .enumerate()
        .map(|(at, pair)| {
            let (a, b) = (needs(pair[0]), needs(pair[1]));
            Needs {
                text: joined(at, a.text.trim(), b.text.trim()),
                documents: a.documents.union(&b.documents).cloned().collect(),
                answers: [a.answers, b.answers].concat(),
            }
        })
        .collect();
    let taken = pairs
        .iter()
        .filter(|pair| !decompose(&pair.text).is_empty())
        .count();
    println!("{set}: {taken} of {} pairs taken apart", pairs.len());
    compare(&pipeline, &pairs).await?;
    let split: Vec<Needs> = dataset
        .queries
        .iter()
        .filter(|query| {
            query.answerability == kura::evaluate::record::Answerability::Answerable
                && !query.relevant.is_empty()
        })
        .filter(|query| !decompose(&query.text).is_empty())
        .take(QUESTIONS)
        .map(needs)
        .collect();
    println!(
        "{set}: {} questions of the set itself that are taken apart",
        split.len()
    );
    compare(&pipeline, &split).await
}

/// Joins two questions in one of the ways in which people do.
fn joined(at: usize, a: &str, b: &str) -> String {
    let is_japanese = |text: &str| text.chars().any(|c| ('\u{3041}'..='\u{9fff}').contains(&c));
    if is_japanese(a) || is_japanese(b) {
        let a = a.trim_end_matches(['。', '？', '?', '、']);
        return match at % 3 {
            0 => format!("{a}？また、{b}"),
            1 => format!("{a}。{b}"),
            _ => format!("{a}？それから、{b}"),
        };
    }
    let stem = a.trim_end_matches(['?', '.', ' ']);
    let mut rest = b.chars();
    let lower: String = rest
        .next()
        .map(|first| first.to_lowercase().chain(rest).collect())
        .unwrap_or_default();
    match at % 3 {
        0 => format!("{stem} and {lower}"),
        1 => format!("{stem}, and {lower}"),
        _ => format!("{stem}? {b}"),
    }
}

/// Asks each question whole and in parts, and compares.
pub(super) async fn compare(pipeline: &Arc<Pipeline>, questions: &[Needs]) -> anyhow::Result<()> {
    if questions.is_empty() {
        return Ok(());
    }
    let config = answer_config()?;
    let assistant = |decompose: bool| {
        let config = AnswerConfig {
            decompose,
            ..config.clone()
        };
        Assistant::new(Arc::clone(pipeline), None, config)
    };
    let (whole, apart) = (assistant(false).await?, assistant(true).await?);
    let mut found: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for question in questions {
        let hits = [
            hits(pipeline, &question.text, false).await?,
            hits(pipeline, &question.text, true).await?,
        ];
        let hits = hits.map(|hits| {
            let sources: Vec<&str> = hits.iter().map(|hit| hit.source.as_str()).collect();
            support(question, &sources)
        });
        let read = [
            passages(&whole, &question.text).await?,
            passages(&apart, &question.text).await?,
        ];
        let of = |f: &dyn Fn(&Read) -> f64| (f(&read[0]), f(&read[1]));
        let sources = |read: &Read| {
            let sources: Vec<&str> = read
                .passages
                .iter()
                .map(|p| p.hit.source.as_str())
                .collect();
            support(question, &sources)
        };
        let mut add = |name, pair| found.entry(name).or_default().push(pair);
        add("all support, first 10 documents", (hits[0].0, hits[1].0));
        add("mean support, first 10 documents", (hits[0].1, hits[1].1));
        add("all support, passages", of(&|read| sources(read).0));
        add("mean support, passages", of(&|read| sources(read).1));
        add(
            "all answers in the passages",
            of(&|read| all_answers(question, &texts(&read.passages))),
        );
        add(
            "all answers in the extract",
            of(&|read| all_answers(question, &extractive::answer(&read.passages, 1.0).text)),
        );
        add("milliseconds to the passages", of(&|read| read.ms));
    }
    for (name, pairs) in found {
        report(name, &pairs);
    }
    Ok(())
}

/// Searches a question, and its parts if asked to; the lists interleaved, each document once.
async fn hits(pipeline: &Pipeline, question: &str, apart: bool) -> anyhow::Result<Vec<Hit>> {
    let mut texts = if apart {
        decompose(question)
    } else {
        Vec::new()
    };
    texts.push(question.to_owned());
    let mut lists = Vec::new();
    for text in texts {
        let request = SearchRequest {
            text,
            collections: Collections::All,
            limit: HITS,
            filter: SearchFilter::default(),
        };
        lists.push(
            pipeline
                .search(&request, &everyone())
                .await?
                .hits
                .into_iter(),
        );
    }
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for _ in 0..HITS {
        let round: Vec<Hit> = lists.iter_mut().filter_map(Iterator::next).collect();
        all.extend(
            round
                .into_iter()
                .filter(|hit| seen.insert(hit.chunk.document)),
        );
    }
    all.truncate(TOP);
    Ok(all)
}

/// Passages, and how long it took to get them.
struct Read {
    passages: Vec<Passage>,
    ms: f64,
}

/// Returns the passages whatever their support.
async fn passages(assistant: &Assistant, question: &str) -> anyhow::Result<Read> {
    let start = Instant::now();
    let gathered = assistant
        .gather(
            question,
            &Collections::All,
            &SearchFilter::default(),
            &everyone(),
        )
        .await?;
    let count = |text: &str| assistant.pipeline.embedder().count_tokens(text);
    let passages = assistant.passages(gathered, &everyone(), &count).await?;
    Ok(Read {
        passages,
        ms: start.elapsed().as_secs_f64() * 1e3,
    })
}
