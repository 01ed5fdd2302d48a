use super::*;

fn open() -> (tempfile::TempDir, Conversations) {
    let dir = tempfile::tempdir().unwrap();
    let conversations = Conversations::open(&dir.path().join("conversations.db")).unwrap();
    (dir, conversations)
}

fn contents(asked: &Asked) -> Vec<&str> {
    asked
        .history
        .iter()
        .map(|message| message.content.as_str())
        .collect()
}

#[tokio::test]
async fn a_question_without_an_answer_is_not_history() {
    let (_dir, conversations) = open();
    let first = conversations.start("admin", "first?", None).await.unwrap();
    let id = first.conversation;
    let ask = async |question| {
        let asked = conversations
            .ask("admin", id, question, None, HashSet::new())
            .await;
        asked.unwrap().unwrap()
    };
    let second = ask("second?").await;
    assert_eq!(second.history, []);
    let body = AnswerBody::sample("answer");
    conversations
        .answer(id, second.ordinal, body)
        .await
        .unwrap();
    let third = ask("third?").await;
    assert_eq!(contents(&third), ["second?", "answer"]);
    // Answers that overtake one another keep to their questions.
    let fourth = ask("fourth?").await;
    let body = AnswerBody::sample("to the fourth");
    conversations
        .answer(id, fourth.ordinal, body)
        .await
        .unwrap();
    let body = AnswerBody::sample("to the third");
    conversations.answer(id, third.ordinal, body).await.unwrap();
    assert_eq!(
        contents(&ask("fifth?").await)[2..],
        ["third?", "to the third", "fourth?", "to the fourth"]
    );
}

#[tokio::test]
async fn an_answer_goes_with_its_document() {
    let (dir, conversations) = open();
    let document = DocumentId(Uuid::now_v7());
    let asked = conversations.start("admin", "secret?", None).await.unwrap();
    let body = AnswerBody::citing("zirkonvogel", document, 3);
    conversations
        .answer(asked.conversation, asked.ordinal, body)
        .await
        .unwrap();
    assert_eq!(conversations.cited().await.unwrap(), [(document, 3)]);
    conversations.withdraw(vec![(document, 3)]).await.unwrap();
    assert_eq!(conversations.cited().await.unwrap(), []);
    let next = conversations
        .ask("admin", asked.conversation, "and?", None, HashSet::new())
        .await;
    assert_eq!(next.unwrap().unwrap().history, []);
    let (_, turns) = conversations
        .get("admin", asked.conversation, HashSet::new())
        .await
        .unwrap()
        .unwrap();
    let answer = turns[1].answer.as_ref().unwrap();
    assert_eq!(answer.outcome, Outcome::Withdrawn);
    for entry in fs_err::read_dir(dir.path()).unwrap() {
        let bytes = fs_err::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("zirkonvogel"));
    }
}

#[tokio::test]
async fn an_answer_is_hidden_while_its_document_is() {
    let (_dir, conversations) = open();
    let [shown, hidden] = [DocumentId(Uuid::now_v7()), DocumentId(Uuid::now_v7())];
    let asked = conversations.start("admin", "first?", None).await.unwrap();
    let id = asked.conversation;
    let body = AnswerBody::citing("zirkonvogel", hidden, 1);
    conversations.answer(id, asked.ordinal, body).await.unwrap();
    let ask = async |question, hidden: &[DocumentId]| {
        let hidden = hidden.iter().copied().collect();
        let asked = conversations.ask("admin", id, question, None, hidden).await;
        asked.unwrap().unwrap()
    };
    let second = ask("second?", &[]).await;
    assert_eq!(contents(&second), ["first?", "zirkonvogel"]);
    let body = AnswerBody::citing("quarzvogel", shown, 1);
    conversations
        .answer(id, second.ordinal, body)
        .await
        .unwrap();
    let mut cited = conversations.cited_in("admin", id).await.unwrap();
    cited.sort_unstable();
    assert_eq!(cited, [shown, hidden]);
    assert!(
        conversations
            .cited_in("other", id)
            .await
            .unwrap()
            .is_empty()
    );

    let third = ask("third?", &[hidden]).await;
    assert_eq!(contents(&third), ["second?", "quarzvogel"]);
    let seen = async |hidden| {
        let (_, turns) = conversations
            .get("admin", id, hidden)
            .await
            .unwrap()
            .unwrap();
        let told = turns
            .iter()
            .any(|turn| turn.content.contains("zirkonvogel"));
        (told, turns[1].answer.as_ref().unwrap().outcome)
    };
    let (told, outcome) = seen(HashSet::from([hidden])).await;
    assert!(!told && outcome == Outcome::Withdrawn);
    let (told, outcome) = seen(HashSet::new()).await;
    assert!(told && outcome != Outcome::Withdrawn, "it is still kept");
}

#[tokio::test]
async fn conversations_are_their_owners() {
    let (_dir, conversations) = open();
    let asked = conversations.start("admin", "secret?", None).await.unwrap();
    let id = asked.conversation;
    assert!(
        conversations
            .get("other", id, HashSet::new())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        conversations
            .ask("other", id, "?", None, HashSet::new())
            .await
            .unwrap()
            .is_none()
    );
    assert!(!conversations.delete("other", id).await.unwrap());
    assert_eq!(conversations.list("other", None, 10).await.unwrap(), []);
    assert!(conversations.delete("admin", id).await.unwrap());
    assert!(
        conversations
            .get("admin", id, HashSet::new())
            .await
            .unwrap()
            .is_none()
    );
    // An answer that comes too late does not bring it back.
    conversations
        .answer(id, asked.ordinal, AnswerBody::sample("late"))
        .await
        .unwrap();
    assert!(
        conversations
            .get("admin", id, HashSet::new())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn listing_goes_on_where_it_stopped() {
    let (_dir, conversations) = open();
    for question in ["one", "two", "three"] {
        conversations.start("admin", question, None).await.unwrap();
    }
    let first = conversations.list("admin", None, 2).await.unwrap();
    let rest = conversations
        .list("admin", Some(first[1].id), 2)
        .await
        .unwrap();
    assert_eq!(first.len() + rest.len(), 3);
    assert_eq!(rest[0].title, "one");
}

#[test]
fn long_titles_are_cut_between_characters() {
    let long = "質問".repeat(100);
    assert_eq!(title(&long).chars().count(), TITLE_CHARS);
    assert_eq!(title(" a\n b "), "a b");
}
