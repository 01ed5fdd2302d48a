use super::*;
use crate::Error;
use uuid::Uuid;

const FILE: &str = "\
term,reading,synonyms,abbreviations
年次有給休暇,ねんじゆうきゅうきゅうか,有給休暇;年休,有休
virtual private network,,仮想専用線,VPN
サーバー,,ホスト,
# a comment
給与規程,,賃金規程,
";

fn collection(n: u128) -> CollectionId {
    CollectionId(Uuid::from_u128(n))
}

fn dictionary(file: &str) -> Arc<Dictionary> {
    Arc::new(Dictionary::parse(file.as_bytes()).unwrap())
}

/// Returns what is written at each place, and what else may stand there.
fn concepts(query: &str) -> Vec<(String, String)> {
    let expansion = dictionary(FILE).expand(collection(1), query);
    let concepts = expansion.concepts.into_iter();
    concepts
        .map(|concept| {
            assert_eq!(concept.collection, collection(1));
            (
                query[concept.span].to_owned(),
                concept.alternatives.join("/"),
            )
        })
        .collect()
}

fn one(query: &str) -> (String, String) {
    let mut found = concepts(query);
    assert_eq!(found.len(), 1, "{query}: {found:?}");
    found.remove(0)
}

fn problems(bytes: &[u8]) -> Vec<String> {
    match Dictionary::parse(bytes) {
        Err(Error::InvalidDictionary { problems }) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_leads_to_all_the_others() {
    let forms = [
        "年次有給休暇",
        "有給休暇",
        "年休",
        "有休",
        "ねんじゆうきゅうきゅうか",
    ];
    for written in forms {
        let query = format!("{written}は何日ですか");
        let (found, alternatives) = one(&query);
        assert_eq!(found, written, "the longest form at the place");
        for other in forms.into_iter().filter(|other| *other != written) {
            assert!(
                alternatives.split('/').any(|one| one == other),
                "{written} → {alternatives}"
            );
        }
        assert_eq!(alternatives.split('/').count(), 4);
    }
}

#[test]
fn width_case_and_inflection_do_not_matter() {
    assert_eq!(
        one("ＶＰＮに繋がらない"),
        ("ＶＰＮ".into(), "virtual private network/仮想専用線".into())
    );
    assert_eq!(one("Which vpn do we use?").0, "vpn");
    assert_eq!(one("our VPNs are slow").0, "VPNs");
    assert_eq!(
        one("Virtual  Private\nNetworks abroad").0,
        "Virtual  Private\nNetworks"
    );
    assert_eq!(
        one("サーバの再起動"),
        ("サーバ".into(), "サーバー/ホスト".into())
    );
}

#[test]
fn words_are_not_cut() {
    assert_eq!(concepts("VPNX and AVPN"), []);
    assert_eq!(concepts("サーバント"), [], "katakana goes on");
    assert_eq!(
        one("給与規程集").0,
        "給与規程",
        "kanji compounds have no borders"
    );
    assert_eq!(concepts("private network"), [], "not the whole term");
}

#[test]
fn the_embedder_gets_the_term_after_what_it_may_not_know() {
    let text = |query: &str| {
        dictionary(FILE)
            .expand(collection(1), query)
            .text_for_embedding
    };
    assert_eq!(
        text("有休とVPNの規程"),
        "有休（年次有給休暇）とVPN (virtual private network)の規程"
    );
    assert_eq!(text("年次有給休暇の規程"), "年次有給休暇の規程");
    assert_eq!(text("経費の規程"), "経費の規程");
}

#[test]
fn several_dictionaries_keep_to_their_collections() {
    let other = dictionary("term,abbreviations\n有給教育休暇,有休\n");
    let both = [(collection(1), dictionary(FILE)), (collection(2), other)];
    let expansion = expand(&both, "有休の日数");
    let found: Vec<_> = expansion
        .concepts
        .iter()
        .map(|one| (one.collection, one.alternatives[0].as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (collection(1), "年次有給休暇"),
            (collection(2), "有給教育休暇")
        ]
    );
    assert_eq!(expansion.concepts[0].span, expansion.concepts[1].span);
}

#[test]
fn files_of_spreadsheets_are_read() {
    let with_mark = format!("\u{FEFF}{}", FILE.replace('\n', "\r\n"));
    assert_eq!(dictionary(&with_mark).entries(), dictionary(FILE).entries());
    let (shift_jis, _, _) = encoding_rs::SHIFT_JIS.encode(FILE);
    assert_eq!(
        Dictionary::parse(&shift_jis).unwrap().entries(),
        dictionary(FILE).entries()
    );
    let wide = dictionary("Term,Synonyms\n\"経費, 立替\",実費；出張費\n,\n");
    assert_eq!(wide.entries()[0].term, "経費, 立替");
    assert_eq!(wide.entries()[0].synonyms, ["実費", "出張費"]);
    assert_eq!(dictionary("term\n").entries(), []);
}

#[test]
fn problems_name_their_lines() {
    let file = "term,synonyms\n有休,\n,休み\n、、,x\nabc,の\nＡＢＣ,\nd,e,f\n";
    let problems = problems(file.as_bytes());
    let expected = [
        "line 3: the term is empty",
        "line 4: `、、` has no letter",
        "line 5: `の` is a function word",
        "line 7: `f` is in no column",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[test]
fn files_that_are_no_dictionary_are_refused() {
    assert!(problems(b"")[0].starts_with("line 1: the column `term` is missing"));
    assert!(problems(b"word,reading\nx,y\n")[0].starts_with("line 1: unknown column `word`"));
    assert!(
        problems("term\n有休\n有休\n".as_bytes())[0]
            .contains("line 3: `有休` is the term of line 2 already")
    );
    let long = format!("term\n{}\n", "長".repeat(101));
    assert!(problems(long.as_bytes())[0].contains("has 101 characters"));
    let many = format!("term\n{}", "、\n".repeat(50));
    let problems = problems(many.as_bytes());
    assert_eq!((problems.len(), problems[20].as_str()), (21, "and 30 more"));
}

#[test]
fn an_empty_dictionary_changes_nothing() {
    assert_eq!(
        expand(&[], "VPN"),
        Expansion {
            concepts: Vec::new(),
            text_for_embedding: "VPN".to_owned()
        }
    );
    assert_eq!(concepts(""), []);
}
