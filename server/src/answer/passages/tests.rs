use super::super::attribute::{Attributed, assemble};
use super::*;
use kura_indexer::chunk::{ChunkConfig, chunk};
use kura_indexer::fuse::Parts;
use kura_indexer::retrieve::Duplicate;
use kura_indexer::{Block, BlockKind, Locator};
use proptest::prelude::*;
use uuid::Uuid;

fn tokens(text: &str) -> usize {
    text.split_whitespace().count()
}

/// A document cut as documents are: its text, with its chunks around and as passages.
struct Text {
    around: Surroundings,
    passages: Vec<Passage>,
}

fn document(id: u128, blocks: &[Block], config: &ChunkConfig) -> Text {
    let chunks = chunk(blocks, &tokens, config);
    let places = chunks.chunks.iter().map(|chunk| Place {
        ordinal: chunk.ordinal,
        span: chunk.span.clone(),
        locator: chunk.locator.clone(),
    });
    let places: Vec<Place> = places.collect();
    let passages = chunks.chunks.into_iter().map(|chunk| {
        let id = ChunkId {
            document: DocumentId(Uuid::from_u128(id)),
            version: 1,
            ordinal: chunk.ordinal,
        };
        let mut passage = Passage::new(hit(id, &chunk.text, chunk.span, chunk.locator));
        let ranges = sentences(&passage.text);
        passage.sentences = ranges.into_iter().map(|range| sentence(range, 0)).collect();
        passage
    });
    Text {
        passages: passages.collect(),
        around: Surroundings {
            text: chunks.text,
            chunks: places,
        },
    }
}

fn sentence(range: Range<usize>, part: usize) -> Sentence {
    Sentence {
        relevance: 1.0 / (1 + range.start) as f32,
        range,
        vector: vec![1.0],
        terms: HashSet::new(),
        part,
    }
}

fn hit(chunk: ChunkId, text: &str, span: Range<usize>, locator: Locator) -> Hit {
    Hit {
        chunk,
        text: text.to_owned(),
        n_tokens: tokens(text),
        span,
        locator,
        title: "Title".to_owned(),
        source: "source".to_owned(),
        collection_name: "collection".to_owned(),
        score: 1.0,
        parts: Parts::default(),
        dense: None,
        lexical: None,
        cosine: None,
        late: None,
        cross: None,
        duplicates: Vec::new(),
    }
}

fn paragraph(text: &str, heading: &str, page: u32) -> Block {
    Block {
        kind: BlockKind::Paragraph,
        text: text.to_owned(),
        locator: Locator {
            page: Some(page),
            range: None,
            headings: vec![heading.to_owned()],
        },
    }
}

const SMALL: ChunkConfig = ChunkConfig {
    max_tokens: 12,
    overlap_tokens: 4,
    min_tokens: 2,
};

/// Eight sentences of six words on four pages, two sections.
fn manual() -> Text {
    let block = |page: u32| {
        let heading = if page < 3 { "First" } else { "Second" };
        let text = format!("Page {page} begins with a sentence. It ends with this other one.");
        paragraph(&text, heading, page)
    };
    document(1, &[1, 2, 3, 4].map(block), &SMALL)
}

fn around(text: &Text) -> HashMap<DocumentId, Surroundings> {
    let id = text.passages[0].hit.chunk.document;
    HashMap::from([(id, text.around.clone())])
}

fn packed(
    passages: Vec<Passage>,
    around: &HashMap<DocumentId, Surroundings>,
    context: usize,
    section: usize,
) -> Vec<Passage> {
    let joined = join_touching(passages, around, context, &tokens);
    let (mut passages, mut left) = fit(joined, context, &tokens);
    for at in 0..passages.len() {
        let room = section.min(left);
        let (added, spent) = widen(&mut passages, at, around, room, &tokens);
        assert!(spent <= room);
        left -= spent;
        let part = passages[at].part;
        let new = added.into_iter().map(|range| sentence(range, part));
        passages[at].sentences.extend(new);
        passages[at].sentences.sort_by_key(|s| s.range.start);
    }
    passages
}

/// What must hold of all passages: bytes are the document's, no text stands twice, every sentence can be quoted.
fn check(passages: &[Passage], around: &HashMap<DocumentId, Surroundings>) {
    for (at, passage) in passages.iter().enumerate() {
        let text = &around[&passage.hit.chunk.document].text;
        assert_eq!(text[passage.span.clone()], passage.text);
        for other in &passages[..at] {
            assert!(
                !overlaps(other, passage),
                "{:?} {:?}",
                other.span,
                passage.span
            );
        }
        let mut end = 0;
        for (nth, sentence) in passage.sentences.iter().enumerate() {
            assert!(sentence.range.start >= end || sentence.range.end > end);
            end = sentence.range.end;
            let attributed = Attributed {
                text: "Written.".to_owned(),
                separator: String::new(),
                supports: vec![(at, nth)],
            };
            let citation = &assemble(vec![attributed], passages).citations[0];
            assert_eq!(text[citation.quote_span.clone()], citation.quote);
            let place = passage
                .places
                .iter()
                .find(|place| place.ordinal == citation.chunk.ordinal)
                .unwrap();
            assert!(place.span.start < citation.quote_span.end);
            assert!(citation.quote_span.start < place.span.end);
            assert_eq!(citation.page, place.locator.page);
        }
    }
}

#[test]
fn hits_that_touch_become_one_passage_in_the_place_of_the_better() {
    let manual = manual();
    let around = around(&manual);
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| manual.passages[at].clone());
    let joined = join_touching(vec![c.clone(), b, a.clone(), d], &around, 100, &tokens);
    let spans: Vec<_> = joined.iter().map(|passage| passage.span.clone()).collect();
    let section = |heading: &str| {
        let places = manual.around.chunks.iter();
        let of = places.filter(|place| place.locator.headings == [heading]);
        let spans: Vec<_> = of.map(|place| place.span.clone()).collect();
        spans[0].start..spans[spans.len() - 1].end
    };
    assert_eq!(spans, [section("Second"), section("First")]);
    assert_eq!(joined[0].hit.chunk, c.hit.chunk, "the better one leads");
    check(&joined, &around);
    // Not where it would not fit the budget.
    let apart = join_touching(vec![a, manual.passages[1].clone()], &around, 14, &tokens);
    assert_eq!(apart.len(), 2);
}

#[test]
fn a_passage_is_widened_within_its_section_up_to_the_next_passage() {
    let manual = manual();
    let around = around(&manual);
    let first = manual.passages[0].clone();
    let widened = packed(vec![first.clone()], &around, 100, 100);
    assert!(widened[0].text.contains("Page 2 begins") && !widened[0].text.contains("Page 3"));
    check(&widened, &around);
    let quote = widened[0].text.find("Page 2").unwrap() + widened[0].span.start;
    assert_eq!(
        widened[0].place(&(quote..quote + 6)).1.locator.page,
        Some(2)
    );

    let little = packed(vec![first.clone()], &around, 100, 7);
    assert!(little[0].text.ends_with("Page 2 begins with a sentence."));
    let none = packed(vec![first.clone()], &around, 100, 0);
    assert_eq!(none[0].text, first.text);
    // The budget of all passages counts, too.
    let full = packed(
        vec![first.clone()],
        &around,
        tokens(&first.for_prompt()) + 3,
        100,
    );
    assert_eq!(full[0].text, first.text);
}

#[test]
fn each_part_has_its_best_passage_before_any_has_its_second() {
    let manual = manual();
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| manual.passages[at].clone());
    let first = of_part(1, vec![a.clone(), b.clone()]);
    let second = of_part(2, vec![c.clone(), a.clone()]);
    let whole = vec![b.clone(), d.clone()];
    let order = |most| {
        let taken = interleave(vec![first.clone(), second.clone(), whole.clone()], most);
        let ids = taken.iter().map(|passage| passage.hit.chunk.ordinal);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(order(9), [0, 2, 1, 3]);
    assert_eq!(order(2), [0, 2]);

    // What was collapsed into a passage of another part is not taken again.
    let mut kept = a.clone();
    kept.hit.duplicates.push(Duplicate {
        chunk: b.hit.chunk,
        title: String::new(),
        source: String::new(),
        collection_name: String::new(),
    });
    assert_eq!(interleave(vec![vec![kept], vec![b]], 9).len(), 1);
}

#[test]
fn a_sentence_belongs_to_the_part_that_it_answers_best() {
    let judged = |relevance: f32, part: usize| {
        let mut sentence = sentence(0..5, part);
        sentence.relevance = relevance;
        vec![sentence]
    };
    let taken = |a: (f32, usize), b: (f32, usize)| {
        let mut known = judged(a.0, a.1);
        take_over(&mut known, judged(b.0, b.1));
        known[0].part
    };
    assert_eq!(taken((0.5, 1), (0.6, 2)), 2);
    assert_eq!(taken((0.7, 1), (0.6, 2)), 1);
    // The whole question only where no part has it.
    assert_eq!(taken((0.9, 0), (0.1, 2)), 2);
    assert_eq!(taken((0.1, 1), (0.9, 0)), 1);
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let text = prop::sample::select(vec![
        "One short sentence. Another one follows it! And a third?",
        "有給休暇は10日です。 申請は上長に出します。",
        "A sentence that goes on and on without an end in sight because nobody stops it here.",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |",
        "Figure 3.",
    ]);
    let block = (text, 0..3_usize, any::<bool>(), 1..4_u32);
    prop::collection::vec(block, 1..14).prop_map(|blocks| {
        let block = |(text, section, is_heading, page): (&str, usize, bool, u32)| {
            let heading = ["Alpha", "Beta", "Gamma"][section];
            if is_heading {
                Block {
                    kind: BlockKind::Heading(2),
                    ..paragraph(heading, heading, page)
                }
            } else {
                paragraph(text, heading, page)
            }
        };
        blocks.into_iter().map(block).collect()
    })
}

proptest! {
    #[test]
    fn whatever_is_joined_widened_or_cut_stays_the_documents_text(
        first in blocks(),
        second in blocks(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        context in 3..80_usize,
        section in 0..40_usize,
    ) {
        let texts = [document(1, &first, &SMALL), document(2, &second, &SMALL)];
        let all: Vec<Passage> = texts.iter().flat_map(|text| text.passages.clone()).collect();
        prop_assume!(!all.is_empty());
        let lists = order.iter().map(|at| vec![at.get(&all).clone()]).collect();
        let around: HashMap<DocumentId, Surroundings> =
            texts.iter().filter(|text| !text.passages.is_empty()).flat_map(super::tests::around).collect();
        let passages = packed(interleave(lists, 6), &around, context, section);
        check(&passages, &around);
        let n_tokens: usize = passages.iter().map(|passage| tokens(&passage.for_prompt())).sum();
        prop_assert!(n_tokens <= context || passages.len() == 1);
    }
}
