//! What is put before the reader, measured: is what a question needs among the passages? `docs/ANSWERS.md` holds the
//! last figures. Models are those of MODELS, a folder; DATA is a copy of a data directory that `kura eval` made.
//!
//! ```text
//! reading singles SET…                     which questions of sets are taken apart
//! reading parts MODELS DATA SET [PAIRS]    pairs of questions joined as people write them; questions compared
//! reading sections MODELS SET…             passages widened by so many tokens, over articles made of paragraphs
//! reading handbook MODELS FIXTURES [GENERATOR]  the sample handbook's questions, single and with several parts
//! ```

#![expect(clippy::print_stdout, reason = "a command")]

use anyhow::Context;
use futures::StreamExt;
use kura::answer::decompose::decompose;
use kura::answer::passages::Passage;
use kura::answer::{
    Answer, AnswerConfig, AnswerEvent, AnswerMode, Assistant, Question, answer, extractive,
};
use kura::config::{Flags, load};
use kura::evaluate::dataset::{Dataset, LabelledQuery};
use kura::evaluate::statistics::{Statistic, difference, randomization_test};
use kura_indexer::chunk::ChunkConfig;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::{EXTRACTED_MEDIA_TYPE, NewDocument};
use kura_indexer::retrieve::{Hit, SearchRequest};
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, Block, BlockKind, Collections, Extracted, IndexConfig, Locator, Metadata,
    MetadataChange, Pipeline, SearchFilter,
};
use kura_models::{
    DeviceChoice, EmbedConfig, Embedder, Generator, Registry, load_embedder, load_generator,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SEED: u64 = 7;
/// Questions of a set asked by themselves.
const QUESTIONS: usize = 120;
const PAIRS: usize = 120;
const HITS: usize = 30;
const TOP: usize = 10;
const SECTION_TOKENS: [usize; 4] = [0, 60, 120, 240];
/// Tokens by which passages are widened when answers are written.
const WIDENED: usize = 120;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["singles", ref sets @ ..] => sets.iter().try_for_each(|set| singles(Path::new(set))),
        ["parts", models, data, set] => parts(models, data, set, PAIRS).await,
        ["parts", models, data, set, n] => parts(models, data, set, n.parse()?).await,
        ["sections", models, ref sets @ ..] => {
            for set in sets {
                sections(models, set).await?;
            }
            Ok(())
        }
        ["handbook", models, fixtures] => handbook(models, fixtures, None).await,
        ["handbook", models, fixtures, generator] => {
            handbook(models, fixtures, Some(generator)).await
        }
        _ => anyhow::bail!("usage: see the head of server/examples/reading.rs"),
    }
}

fn everyone() -> AccessFilter {
    AccessFilter::unrestricted("measurement")
}

fn embedder(models: &str) -> anyhow::Result<Arc<dyn Embedder>> {
    let installed = Registry::open(Path::new(models))?.locate("multilingual-e5-small")?;
    Ok(load_embedder(
        &installed,
        &DeviceChoice::Cpu,
        &EmbedConfig::default(),
    )?)
}

fn index_config() -> IndexConfig {
    IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        // Figures must not depend on how busy the machine is.
        late_budget: Duration::from_secs(60),
        collapse_duplicates: true,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    }
}

fn answer_config() -> anyhow::Result<AnswerConfig> {
    Ok(load(&Flags::default())
        .ok()
        .context("the defaults are valid")?
        .config
        .answer)
}

/// Which questions are taken apart.
fn singles(set: &Path) -> anyhow::Result<()> {
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

/// A question and the documents that it needs.
struct Needs {
    text: String,
    documents: BTreeSet<String>,
    /// For each part, strings of which an answer has one.
    answers: Vec<Vec<String>>,
}

async fn parts(models: &str, data: &str, set: &str, n_pairs: usize) -> anyhow::Result<()> {
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
async fn compare(pipeline: &Arc<Pipeline>, questions: &[Needs]) -> anyhow::Result<()> {
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

fn report(name: &str, pairs: &[(f64, f64)]) {
    let d = difference(pairs, Statistic::Mean, SEED);
    let wins = pairs.iter().filter(|(a, b)| b > a).count();
    let losses = pairs.iter().filter(|(a, b)| b < a).count();
    println!(
        "  {name}: {:.3} → {:.3} ({:+.3}, {:+.3} to {:+.3}), {wins} better, {losses} worse, p = {:.4}, n = {}",
        d.base,
        d.candidate,
        d.difference,
        d.low,
        d.high,
        randomization_test(pairs, SEED),
        pairs.len()
    );
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

/// Returns whether all needed documents are there, and the share of them that is.
fn support(question: &Needs, sources: &[&str]) -> (f64, f64) {
    let there = question
        .documents
        .iter()
        .filter(|document| sources.contains(&document.as_str()))
        .count();
    let share = there as f64 / question.documents.len() as f64;
    (f64::from(u8::from(share >= 1.0)), share)
}

fn texts(passages: &[Passage]) -> String {
    let texts: Vec<&str> = passages
        .iter()
        .map(|passage| passage.text.as_str())
        .collect();
    texts.join("\n")
}

fn squeezed(text: &str) -> String {
    let letters = text.chars().filter(|c| !c.is_whitespace());
    letters.flat_map(char::to_lowercase).collect()
}

fn all_answers(question: &Needs, text: &str) -> f64 {
    let text = squeezed(text);
    let has = |answers: &Vec<String>| answers.iter().any(|a| text.contains(&squeezed(a)));
    f64::from(u8::from(question.answers.iter().all(has)))
}

/// Indexes articles, made of a set's paragraphs, and widens the passages of single questions.
async fn sections(models: &str, set: &str) -> anyhow::Result<()> {
    let dataset = Dataset::read(Path::new(set))?;
    let corpus = dataset.corpus.context("the set has no corpus")?;
    let mut articles: BTreeMap<String, (String, Vec<Block>)> = BTreeMap::new();
    for row in corpus.documents {
        let article = row
            .id
            .rsplit_once('-')
            .map_or(row.id.as_str(), |(id, _)| id);
        let entry = articles.entry(article.to_owned()).or_default();
        entry.0.clone_from(&row.title);
        entry.1.push(Block {
            kind: BlockKind::Paragraph,
            text: row.text,
            locator: Locator::default(),
        });
    }
    let dir = tempfile::tempdir()?;
    let pipeline = Pipeline::open(dir.path(), embedder(models)?, index_config()).await?;
    let collection = pipeline.create_collection("articles").await?.id;
    let n_articles = articles.len();
    for (source, (title, blocks)) in articles {
        let extracted = Extracted {
            title: Some(title),
            blocks,
            warnings: Vec::new(),
            metadata: Metadata::default(),
            pages: Vec::new(),
        };
        let new = NewDocument {
            collection,
            source,
            media_type: Some(EXTRACTED_MEDIA_TYPE.to_owned()),
            bytes: serde_json::to_vec(&extracted)?,
            acl: Acl::everyone().into(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await?;
    }
    while !pipeline.run_queued(&|_, _, _| {}).await?.is_empty() {}
    let mut questions: Vec<&LabelledQuery> = dataset
        .queries
        .iter()
        .filter(|query| {
            query.answerability == kura::evaluate::record::Answerability::Answerable
                && !query.answers.is_empty()
        })
        .collect();
    questions.shuffle(&mut StdRng::seed_from_u64(SEED));
    questions.truncate(QUESTIONS);
    println!(
        "{set}: {n_articles} articles, {} questions",
        questions.len()
    );
    let questions: Vec<Needs> = questions
        .into_iter()
        .map(|query| Needs {
            text: query.text.clone(),
            documents: BTreeSet::new(),
            answers: vec![query.answers.clone()],
        })
        .collect();
    widened(&pipeline, &questions, &[900]).await
}

/// Widens passages by more and more tokens, under each budget for all of them.
async fn widened(
    pipeline: &Arc<Pipeline>,
    questions: &[Needs],
    budgets: &[usize],
) -> anyhow::Result<()> {
    let base = answer_config()?;
    let mut assistants = Vec::new();
    for context_tokens in budgets {
        for section_tokens in SECTION_TOKENS {
            let config = AnswerConfig {
                context_tokens: *context_tokens,
                section_tokens,
                ..base.clone()
            };
            assistants.push(Assistant::new(Arc::clone(pipeline), None, config).await?);
        }
    }
    let count = |text: &str| pipeline.embedder().count_tokens(text);
    let mut figures = vec![Vec::new(); assistants.len()];
    for question in questions {
        let gathered = assistants[0]
            .gather(
                &question.text,
                &Collections::All,
                &SearchFilter::default(),
                &everyone(),
            )
            .await?;
        for (assistant, figures) in assistants.iter().zip(&mut figures) {
            let start = Instant::now();
            let read = assistant
                .passages(gathered.clone(), &everyone(), &count)
                .await?;
            let ms = start.elapsed().as_secs_f64() * 1e3;
            let first = read.first().map_or("", |passage| passage.text.as_str());
            let n_tokens: usize = read.iter().map(|p| count(&p.for_prompt())).sum();
            figures.push([
                all_answers(question, &texts(&read)),
                all_answers(question, first),
                all_answers(question, &extractive::answer(&read, 1.0).text),
                n_tokens as f64,
                ms,
            ]);
        }
    }
    for (at, (assistant, own)) in assistants.iter().zip(&figures).enumerate() {
        let config = &assistant.config;
        let mean = |nth: usize| own.iter().map(|f| f[nth]).sum::<f64>() / own.len() as f64;
        println!(
            " context {} section {}: answer in the passages {:.3}, in the first {:.3}, in the extract {:.3}; {:.0} tokens, {:.0} ms",
            config.context_tokens,
            config.section_tokens,
            mean(0),
            mean(1),
            mean(2),
            mean(3),
            mean(4)
        );
        let without = &figures[at - at % SECTION_TOKENS.len()];
        let pairs = |nth: usize| {
            let pairs = without.iter().zip(own).map(|(a, b)| (a[nth], b[nth]));
            pairs.collect::<Vec<_>>()
        };
        if config.section_tokens > 0 {
            report("in the passages", &pairs(0));
            report("in the first", &pairs(1));
            report("in the extract", &pairs(2));
        }
    }
    Ok(())
}

/// A line of the handbook's questions.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Several {
        id: String,
        question: String,
        expect_documents: BTreeSet<String>,
        answers: Vec<Vec<String>>,
    },
    One {
        id: String,
        question: String,
        expect_document: String,
        answers: Vec<String>,
    },
}

async fn handbook(models: &str, fixtures: &str, generator: Option<&str>) -> anyhow::Result<()> {
    let fixtures = Path::new(fixtures);
    let dir = tempfile::tempdir()?;
    let pipeline = Pipeline::open(dir.path(), embedder(models)?, index_config()).await?;
    let collection = pipeline.create_collection("handbook").await?.id;
    for entry in fs_err::read_dir(fixtures.join("handbook"))? {
        let path = entry?.path();
        let new = NewDocument {
            collection,
            source: path
                .file_name()
                .context("no name")?
                .to_string_lossy()
                .into_owned(),
            media_type: None,
            bytes: fs_err::read(&path)?,
            acl: Acl::everyone().into(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await?;
    }
    while !pipeline.run_queued(&|_, _, _| {}).await?.is_empty() {}
    let generator = match generator {
        Some(id) => {
            let installed = Registry::open(Path::new(models))?.locate(id)?;
            Some(load_generator(&installed, &DeviceChoice::Cpu)?)
        }
        None => None,
    };
    for file in ["handbook.questions.jsonl", "handbook.multipart.jsonl"] {
        let mut questions = Vec::new();
        for line in fs_err::read_to_string(fixtures.join(file))?.lines() {
            questions.push(match serde_json::from_str(line)? {
                Line::Several {
                    id,
                    question,
                    expect_documents,
                    answers,
                } => (id, question, expect_documents, answers),
                Line::One {
                    id,
                    question,
                    expect_document,
                    answers,
                } => (
                    id,
                    question,
                    BTreeSet::from([expect_document]),
                    vec![answers],
                ),
            });
        }
        let questions: Vec<(String, Needs)> = questions
            .into_iter()
            .map(|(id, text, documents, answers)| {
                let needs = Needs {
                    text,
                    documents,
                    answers,
                };
                (id, needs)
            })
            .collect();
        println!("{file}");
        if generator.is_none() {
            let needs: Vec<Needs> = questions.into_iter().map(|(_, needs)| needs).collect();
            widened(&pipeline, &needs, &[900]).await?;
            compare(&pipeline, &needs).await?;
        } else {
            let every_other: Vec<(String, Needs)> = questions.into_iter().step_by(2).collect();
            written(&pipeline, &every_other, generator.as_ref()).await?;
        }
    }
    Ok(())
}

/// Has answers written: without widening and parts, with either, with both.
async fn written(
    pipeline: &Arc<Pipeline>,
    questions: &[(String, Needs)],
    generator: Option<&Arc<dyn Generator>>,
) -> anyhow::Result<()> {
    let base = answer_config()?;
    let several = questions.iter().any(|(_, needs)| needs.answers.len() > 1);
    let settings: &[(usize, bool)] = if several {
        &[(0, false), (0, true), (WIDENED, true)]
    } else {
        &[(0, true), (WIDENED, true)]
    };
    for (section_tokens, decompose) in settings {
        let config = AnswerConfig {
            section_tokens: *section_tokens,
            decompose: *decompose,
            ..base.clone()
        };
        let assistant = Assistant::new(Arc::clone(pipeline), generator.cloned(), config).await?;
        let assistant = Arc::new(assistant);
        let mut sums = [0.0; 5];
        for (id, needs) in questions {
            let answer = ask(&assistant, &needs.text).await?;
            let cited: Vec<&str> = answer.citations.iter().map(|c| c.source.as_str()).collect();
            let figures = [
                all_answers(needs, &answer.text),
                support(needs, &cited).0,
                support(needs, &cited).1,
                answer.usage.prompt_tokens as f64,
                answer.timings_ms.total / 1e3,
            ];
            println!("  {id} {figures:.1?}: {}", answer.text.replace('\n', " "));
            sums.iter_mut().zip(figures).for_each(|(sum, x)| *sum += x);
        }
        let n = questions.len() as f64;
        println!(
            " section {section_tokens} decompose {decompose}: all answers {:.3}, all documents cited {:.3}, mean {:.3}; {:.0} prompt tokens, {:.1} s",
            sums[0] / n,
            sums[1] / n,
            sums[2] / n,
            sums[3] / n,
            sums[4] / n
        );
    }
    Ok(())
}

async fn ask(assistant: &Arc<Assistant>, question: &str) -> anyhow::Result<Answer> {
    let question = Question {
        text: question.to_owned(),
        collections: Collections::All,
        filter: SearchFilter::default(),
        history: Vec::new(),
        mode: AnswerMode::Auto,
    };
    let mut events = answer(Arc::clone(assistant), question, everyone());
    while let Some(event) = events.next().await {
        match event {
            AnswerEvent::Completed(answer) => return Ok(*answer),
            AnswerEvent::Failed(error) => return Err(error.into()),
            AnswerEvent::Retrieved(_) | AnswerEvent::Delta(_) => {}
        }
    }
    anyhow::bail!("the stream ended without an answer")
}
