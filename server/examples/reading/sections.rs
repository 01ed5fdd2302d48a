//! Passages widened by what stands around them.

use super::{
    Needs, QUESTIONS, SEED, all_answers, answer_config, embedder, everyone, index_config, report,
    texts,
};
use anyhow::Context;
use kura::answer::{AnswerConfig, Assistant, extractive};
use kura::evaluate::dataset::{Dataset, LabelledQuery};
use kura_indexer::ingest::{EXTRACTED_MEDIA_TYPE, NewDocument};
use kura_indexer::{
    Acl, Block, BlockKind, Collections, Extracted, Locator, Metadata, MetadataChange, Pipeline,
    SearchFilter,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const SECTION_TOKENS: [usize; 4] = [0, 60, 120, 240];

/// Indexes articles, made of a set's paragraphs, and widens the passages of single questions.
pub(super) async fn sections(models: &str, set: &str) -> anyhow::Result<()> {
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
pub(super) async fn widened(
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
