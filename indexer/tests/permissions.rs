//! Who may read what, through every way to read: searches, lists, texts.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use kura_indexer::catalog::Catalog;
use kura_indexer::fuse::Fusion;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::store::Bm25;
use kura_indexer::{
    AccessFilter, Acl, AclChange, ChunkConfig, CollectionId, Collections, DocumentId, Error,
    GroupId, IndexConfig, Member, MetadataChange, Pipeline, Role, SearchFilter,
};
use kura_models::fake::FakeEmbedder;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn config() -> IndexConfig {
    IndexConfig {
        chunking: ChunkConfig::default(),
        candidates: 50,
        bm25: Bm25::default(),
        fusion: Fusion::default(),
        late_budget: Duration::from_secs(10),
        collapse_duplicates: false,
        reranking: kura_indexer::Reranking::default(),
        max_text_bytes: 32 << 20,
        min_free_bytes: 0,
    }
}

async fn open(dir: &Path) -> Arc<Pipeline> {
    let embedder = Arc::new(FakeEmbedder::new());
    Pipeline::open(dir, embedder, config()).await.unwrap()
}

fn operator() -> AccessFilter {
    AccessFilter::unrestricted("test")
}

fn groups(names: &[&str]) -> BTreeSet<GroupId> {
    let names = names.iter();
    names.map(|name| GroupId((*name).to_owned())).collect()
}

fn person(names: &[&str]) -> AccessFilter {
    AccessFilter::groups(groups(names))
}

fn member(group: &str, role: Role) -> Member {
    Member {
        group: GroupId(group.to_owned()),
        role,
    }
}

async fn add(pipeline: &Pipeline, collection: &str, source: &str, acl: AclChange) -> DocumentId {
    let new = NewDocument {
        collection: pipeline.create_collection(collection).await.unwrap().id,
        source: source.to_owned(),
        media_type: None,
        bytes: format!("The travel rule of {source}.").into_bytes(),
        acl,
        metadata: MetadataChange::default(),
    };
    pipeline.add_document(new).await.unwrap().document.id
}

async fn index(pipeline: &Pipeline) {
    while !pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty() {}
}

fn request(collections: Collections) -> SearchRequest {
    SearchRequest {
        text: "travel rule".to_owned(),
        collections,
        filter: SearchFilter::default(),
        limit: 50,
    }
}

/// What each engine finds by itself, and what a search returns.
async fn found(
    pipeline: &Pipeline,
    collections: Collections,
    access: &AccessFilter,
) -> [BTreeSet<DocumentId>; 3] {
    let options = pipeline.rank_options(50);
    let request = request(collections);
    let ranking = pipeline.rank(&request, &options, access).await.unwrap();
    let legs = [&ranking.legs.dense, &ranking.legs.lexical]
        .map(|leg| leg.iter().map(|hit| hit.chunk.document).collect());
    let hits = ranking.into_output(50, false).hits;
    let [dense, lexical] = legs;
    [
        dense,
        lexical,
        hits.iter().map(|hit| hit.chunk.document).collect(),
    ]
}

/// A data directory as it should be.
#[derive(Debug, Default)]
struct Model {
    documents: BTreeMap<DocumentId, (CollectionId, Acl)>,
    members: BTreeMap<CollectionId, (String, Vec<Member>)>,
}

impl Model {
    /// Returns the collections that one may read.
    fn collections(&self, asking: &BTreeSet<GroupId>) -> BTreeSet<CollectionId> {
        let members = self.members.iter();
        let open = members.filter(|(_, (_, members))| {
            members.iter().any(|member| asking.contains(&member.group))
        });
        open.map(|(id, _)| *id).collect()
    }

    /// Asks in every way, and compares.
    async fn check(
        &self,
        pipeline: &Pipeline,
        asking: &BTreeSet<GroupId>,
        limit: &Collections,
        searched: &Collections,
    ) {
        let access = AccessFilter::groups(asking.clone()).within(limit);
        let open = self.collections(asking);
        let readable: BTreeSet<DocumentId> = self
            .documents
            .iter()
            .filter(|(_, (collection, acl))| {
                open.contains(collection) && access.allows(*collection, acl)
            })
            .map(|(id, _)| *id)
            .collect();
        let expected: BTreeSet<DocumentId> = readable
            .iter()
            .copied()
            .filter(|id| searched.contains(self.documents[id].0))
            .collect();
        let told = format!("{asking:?} within {limit:?} in {searched:?} of {self:#?}");
        for way in found(pipeline, searched.clone(), &access).await {
            assert_eq!(way, expected, "{told}");
        }
        let listed = pipeline
            .documents(searched, &access, None, 100)
            .await
            .unwrap();
        let listed: BTreeSet<DocumentId> = listed.items.iter().map(|found| found.id).collect();
        assert_eq!(listed, expected, "{told}");
        for (id, (collection, _)) in &self.documents {
            let may_read = readable.contains(id);
            let ways = [
                pipeline.document(*id, &access).await.map(drop),
                pipeline.document_text(*id, &access).await.map(drop),
                pipeline.document_bytes(*id, &access).await.map(drop),
                pipeline.children(*id, &access, None, 9).await.map(drop),
            ];
            for way in ways {
                assert_eq!(way.is_ok(), may_read, "{told}");
                if let Err(error) = way {
                    assert_eq!(error.to_string(), format!("unknown document `{id}`"));
                }
            }
            let around = pipeline.surroundings(*id, 1, 0..=9, &access).await.unwrap();
            assert_eq!(around.is_some(), may_read, "{told}");
            let name = &self.members[collection].0;
            let seen = pipeline.collection(name, &access).await;
            assert_eq!(
                seen.is_ok(),
                open.contains(collection) && limit.contains(*collection),
                "{told}"
            );
        }
        let seen = pipeline.collections(&access).await.unwrap();
        let counted: u64 = seen.iter().map(|one| one.n_documents).sum();
        assert_eq!(counted, readable.len() as u64, "{told}");
    }
}

fn some_groups() -> impl Strategy<Value = BTreeSet<GroupId>> {
    let name = prop::sample::select(vec!["everyone", "hr", "law", "user:eve"]);
    prop::collection::btree_set(name.prop_map(|name| GroupId(name.to_owned())), 0..4)
}

fn some_acl() -> impl Strategy<Value = Acl> {
    let denied = prop::option::of(some_groups()).prop_map(Option::unwrap_or_default);
    (some_groups(), denied).prop_map(|(readers, denied)| Acl { readers, denied })
}

fn some_members() -> impl Strategy<Value = Vec<Member>> {
    (some_groups(), any::<bool>()).prop_map(|(groups, edit)| {
        let role = if edit { Role::Editor } else { Role::Reader };
        groups
            .into_iter()
            .map(|group| Member { group, role })
            .collect()
    })
}

/// Which of three collections, by number; all when absent.
fn some_shelves() -> impl Strategy<Value = Option<Vec<usize>>> {
    prop::option::of(prop::collection::vec(0..3_usize, 0..3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the ACLs, members, groups and limits are and become: every way to read lets through the same documents.
    #[test]
    fn every_way_to_read_agrees(
        shelves in prop::collection::vec(some_members(), 3),
        acls in prop::collection::vec((some_acl(), 0..3_usize), 1..8),
        changes in prop::collection::vec((any::<prop::sample::Index>(), some_acl()), 0..3),
        moves in prop::collection::vec((0..3_usize, some_members()), 0..3),
        asking in prop::collection::vec((some_groups(), some_shelves(), some_shelves()), 3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let pipeline = open(dir.path()).await;
            let mut model = Model::default();
            let mut ids = Vec::new();
            for (n, members) in shelves.into_iter().enumerate() {
                let name = format!("shelf-{n}");
                let made = pipeline.new_collection(&name, members.clone()).await.unwrap();
                ids.push(made.id);
                model.members.insert(made.id, (name, members));
            }
            for (n, (acl, shelf)) in acls.into_iter().enumerate() {
                let name = format!("shelf-{shelf}");
                let id = add(&pipeline, &name, &format!("{n}.txt"), acl.clone().into()).await;
                model.documents.insert(id, (ids[shelf], acl));
            }
            index(&pipeline).await;
            let only = |shelves: &Option<Vec<usize>>| match shelves {
                None => Collections::All,
                Some(shelves) => Collections::Only(shelves.iter().map(|n| ids[*n]).collect()),
            };
            for (groups, limit, searched) in &asking {
                model.check(&pipeline, groups, &only(limit), &only(searched)).await;
            }
            let documents: Vec<DocumentId> = model.documents.keys().copied().collect();
            for (at, acl) in changes {
                let id = *at.get(&documents);
                pipeline.set_acl(id, acl.clone(), &operator()).await.unwrap();
                model.documents.get_mut(&id).unwrap().1 = acl;
            }
            for (shelf, members) in moves {
                let known = model.members.get_mut(&ids[shelf]).unwrap();
                pipeline.set_members(&known.0, members.clone(), &operator()).await.unwrap();
                known.1 = members;
            }
            for (groups, limit, searched) in &asking {
                model.check(&pipeline, groups, &only(limit), &only(searched)).await;
            }
        });
    }
}

#[tokio::test]
async fn a_crash_before_the_index_is_told_leaves_nothing_open() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let id = add(&pipeline, "c", "a.txt", AclChange::default()).await;
    index(&pipeline).await;
    let eve = person(&["everyone", "user:eve"]);
    assert!(
        found(&pipeline, Collections::All, &eve)
            .await
            .iter()
            .all(|way| way.len() == 1)
    );
    drop(pipeline);

    // Committed in the catalog, not yet told to the index.
    let catalog = Catalog::open(&dir.path().join("catalog.db")).unwrap();
    let acl = Acl {
        denied: groups(&["user:eve"]),
        ..Acl::everyone()
    };
    catalog.set_acl(id, &acl).unwrap();
    drop(catalog);
    let embedder = Arc::new(FakeEmbedder::new());
    let as_is = Pipeline::open_as_is(dir.path(), embedder, config())
        .await
        .unwrap();
    let [dense, lexical, hits] = found(&as_is, Collections::All, &eve).await;
    assert_eq!(
        (dense.len(), lexical.len()),
        (1, 1),
        "the index does not know yet"
    );
    assert!(hits.is_empty(), "the catalog does");
    assert!(as_is.document_text(id, &eve).await.is_err());
    drop(as_is);

    // The next start tells it.
    let pipeline = open(dir.path()).await;
    assert!(
        found(&pipeline, Collections::All, &eve)
            .await
            .iter()
            .all(BTreeSet::is_empty)
    );
    let others = found(&pipeline, Collections::All, &person(&["everyone"])).await;
    assert!(others.iter().all(|way| way.len() == 1));
}

#[tokio::test]
async fn a_hidden_collection_is_as_one_that_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    pipeline
        .new_collection("open", vec![Member::everyone()])
        .await
        .unwrap();
    let board = vec![member("board", Role::Editor)];
    let hidden = pipeline.new_collection("hidden", board).await.unwrap().id;
    let id = add(&pipeline, "hidden", "a.txt", AclChange::default()).await;
    index(&pipeline).await;
    let (eve, board) = (person(&["everyone"]), person(&["everyone", "board"]));

    for name in ["hidden", "missing"] {
        let told = format!("unknown collection `{name}`; existing: open");
        let today = jiff::civil::date(2026, 11, 30);
        let errors = [
            pipeline.collection(name, &eve).await.map(drop),
            pipeline.members(name, &eve).await.map(drop),
            pipeline.set_members(name, Vec::new(), &eve).await,
            pipeline.quality(name, &eve, today).await.map(drop),
            pipeline.dictionary(name, &eve).await.map(drop),
            pipeline
                .set_dictionary(name, b"term\nx\n", &eve)
                .await
                .map(drop),
            pipeline.remove_dictionary(name, &eve).await,
            pipeline.delete_collection(name, &eve).await,
        ];
        for error in errors {
            assert_eq!(error.unwrap_err().to_string(), told);
        }
    }
    let document = pipeline.document_of_source(hidden, "a.txt", &eve).await;
    assert_eq!(
        document.unwrap_err().to_string(),
        "unknown document `a.txt`"
    );
    let names = async |access| {
        let all = pipeline.collections(access).await.unwrap();
        all.into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&eve).await, ["open"]);
    assert_eq!(names(&board).await, ["hidden", "open"]);
    assert!(pipeline.document(id, &board).await.is_ok());
    assert!(pipeline.set_acl(id, Acl::everyone(), &eve).await.is_err());
    // Whoever already knows its id finds no more.
    let only = Collections::Only(vec![hidden]);
    assert!(
        found(&pipeline, only, &eve)
            .await
            .iter()
            .all(BTreeSet::is_empty)
    );
    let of_board = groups(&["everyone", "board"]);
    let writable = pipeline.writable_collections(&of_board).await.unwrap();
    assert_eq!(writable, [hidden]);
    assert_eq!(
        pipeline
            .readable_collections(&of_board)
            .await
            .unwrap()
            .len(),
        2
    );
    let of_eve = groups(&["everyone"]);
    assert!(
        pipeline
            .writable_collections(&of_eve)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn words_of_a_hidden_collection_do_not_show_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    add(&pipeline, "open", "a.txt", AclChange::default()).await;
    pipeline.new_collection("hidden", Vec::new()).await.unwrap();
    let csv = "term,reading,synonyms,abbreviations\ntravel rule,,,TR\n";
    pipeline
        .set_dictionary("hidden", csv.as_bytes(), &operator())
        .await
        .unwrap();
    index(&pipeline).await;
    let asked = SearchRequest {
        text: "TR".to_owned(),
        ..request(Collections::All)
    };
    let cosine = async |access: &AccessFilter| {
        let hits = pipeline.search(&asked, access).await.unwrap().hits;
        hits[0].cosine.unwrap()
    };
    let without = cosine(&person(&["everyone"])).await;
    assert_ne!(
        cosine(&operator()).await,
        without,
        "the dictionary counts for its readers"
    );
    pipeline
        .remove_dictionary("hidden", &operator())
        .await
        .unwrap();
    assert_eq!(cosine(&operator()).await, without);
}

#[tokio::test]
async fn what_is_not_said_of_an_acl_stays() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let (hr, eve) = (groups(&["hr"]), groups(&["user:eve"]));
    let change =
        |readers: Option<&BTreeSet<GroupId>>, denied: Option<&BTreeSet<GroupId>>| AclChange {
            readers: readers.cloned(),
            denied: denied.cloned(),
        };
    let nobody = BTreeSet::new();
    for (said, readers, denied) in [
        (change(None, None), Acl::everyone().readers, nobody.clone()),
        (
            change(None, Some(&eve)),
            Acl::everyone().readers,
            eve.clone(),
        ),
        (change(Some(&hr), None), hr.clone(), eve.clone()),
        (change(None, None), hr.clone(), eve.clone()),
        (change(None, Some(&nobody)), hr.clone(), nobody.clone()),
    ] {
        let id = add(&pipeline, "c", "a.txt", said).await;
        index(&pipeline).await;
        let document = pipeline.document(id, &operator()).await.unwrap();
        assert_eq!(document.acl, Acl { readers, denied });
    }
}

#[tokio::test]
async fn members_and_groups_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let twice = vec![member("hr", Role::Reader), member("hr", Role::Editor)];
    let refused = pipeline
        .new_collection("c", twice.clone())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("named twice"), "{refused}");
    assert!(
        pipeline.collection("c", &operator()).await.is_err(),
        "nothing was made"
    );
    pipeline.new_collection("c", Vec::new()).await.unwrap();
    let again = pipeline.new_collection("c", Vec::new()).await.unwrap_err();
    assert!(matches!(again, Error::CollectionExists { .. }));
    assert!(pipeline.set_members("c", twice, &operator()).await.is_err());
    let many = (0..101)
        .map(|n| member(&n.to_string(), Role::Reader))
        .collect();
    assert!(pipeline.set_members("c", many, &operator()).await.is_err());
    assert!(pipeline.members("c", &operator()).await.unwrap().is_empty());
}
