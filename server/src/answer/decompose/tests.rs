use super::*;

fn check(question: &str, parts: &[&str]) {
    assert_eq!(decompose(question), parts, "{question}");
}

#[test]
fn english_questions_are_cut_where_another_begins() {
    check(
        "What is the weekly pay for being on call and who approves business trips?",
        &[
            "What is the weekly pay for being on call",
            "who approves business trips?",
        ],
    );
    check(
        "How many days of paid leave do I get, and by when must expenses be submitted?",
        &[
            "How many days of paid leave do I get",
            "by when must expenses be submitted?",
        ],
    );
    check(
        "What does error 7 mean, and who runs the IT help desk?",
        &["What does error 7 mean", "who runs the IT help desk?"],
    );
    check(
        "What does the VPN error mean? Where is the defibrillator?",
        &[
            "What does the VPN error mean?",
            "Where is the defibrillator?",
        ],
    );
    check(
        "Tell me how remote work is paid and when the Sumi CAD license must be renewed.",
        &[
            "Tell me how remote work is paid",
            "when the Sumi CAD license must be renewed.",
        ],
    );
    check(
        "What is the hotel limit, when is the flu shot, and can I work from abroad?",
        &[
            "What is the hotel limit",
            "when is the flu shot",
            "can I work from abroad?",
        ],
    );
}

#[test]
fn english_comparisons_have_two_sides() {
    check(
        "What is the difference between paid leave and parental leave?",
        &["paid leave", "parental leave"],
    );
    check(
        "Compare the Kitsune 16 Pro and the Kitsune 14 in price.",
        &["the Kitsune 16 Pro in price", "the Kitsune 14 in price"],
    );
    check(
        "How does a hotfix differ from a regular release?",
        &["a hotfix", "a regular release"],
    );
    check(
        "Which is cheaper, the laptop or the tablet computer?",
        &[
            "the laptop: Which is cheaper",
            "the tablet computer: Which is cheaper",
        ],
    );
}

#[test]
fn japanese_questions_are_cut_where_another_begins() {
    check(
        "有給休暇は何日ですか。また、出張の日当はいくらですか。",
        &["有給休暇は何日ですか", "出張の日当はいくらですか"],
    );
    check(
        "宿泊費の上限はいくらで、申請期限はいつですか。",
        &["宿泊費の上限はいくらで", "申請期限はいつですか"],
    );
    check(
        "有給休暇は何日もらえますか、また誰が承認しますか。",
        &["有給休暇は何日もらえますか", "有給休暇は誰が承認しますか"],
    );
    check(
        "育休の期間と、出産祝い金の金額を教えてください。",
        &["育休の期間", "出産祝い金の金額を教えてください"],
    );
}

#[test]
fn japanese_comparisons_have_two_sides() {
    check(
        "有給休暇と特別休暇の違いは何ですか。",
        &["有給休暇、違いは何ですか", "特別休暇、違いは何ですか"],
    );
    check(
        "『紙の砦』と『どついたれ』では、どちらが早く描かれましたか。",
        &[
            "『紙の砦』、どちらが早く描かれましたか",
            "『どついたれ』、どちらが早く描かれましたか",
        ],
    );
    check(
        "マヨルカ島の人口は、2006年と2012年を比較するとどちらが多いですか。",
        &[
            "マヨルカ島の人口は、2006年、比較するとどちらが多いですか",
            "マヨルカ島の人口は、2012年、比較するとどちらが多いですか",
        ],
    );
}

#[test]
fn what_is_said_before_a_question_goes_with_every_part() {
    check(
        "I move to Osaka. Where is the new office and how much is the housing allowance?",
        &[
            "I move to Osaka. Where is the new office",
            "I move to Osaka. how much is the housing allowance?",
        ],
    );
    check("I lost my laptop. Whom do I have to call?", &[]);
    check("パソコンをなくしました。どこに連絡すればよいですか。", &[]);
}

#[test]
fn one_question_stays_whole() {
    for question in [
        "Who is the person that wrote the policy and who signed it?",
        "When American companies built small cars, what policy ended?",
        "Besides Britain and North America, where else did Huguenots settle?",
        "Imperialism extends a country's power and what?",
        "What is a hotfix and when is it allowed?",
        "What are the rules for bicycles and cars?",
        "When and where was he born?",
        "In May 2002, where would you go to address the Parliament?",
        "Which company makes cars and which is based in Osaka?",
        "Is the office open on Saturdays, or is it closed?",
        "Who said \"what is truth and who knows it\" in the play?",
        "leave policy and sick pay",
        "What did the ECDC and WHO regional office ask the countries?",
        "",
        "大阪に出張するとき、ホテル代はいくらまで出ますか。",
        "彼はいつ、どこで生まれましたか。",
        "生命は、いつ、どこで、いかにして誕生したのかという過程は何？",
        "「誰が、いつ決めたのか」と尋ねたのは誰ですか。",
        "結婚したときの特別休暇は何日ですか。",
        "本実験と対照実験の中で違いを見つけていく手法を何というか。",
        "登録するのは有料ですか？無料ですか？",
        "主張の違いから、対立して除名された党員は誰か",
        "未成年者が契約するときは、誰の同意が必要ですか。",
        "会社の住所と電話番号を教えてください。",
        "キュリー夫人と言えば何ですか",
    ] {
        check(question, &[]);
    }
}

#[test]
fn parts_are_few_and_long_texts_are_left_alone() {
    let many = "What is a leave day? Who pays for travel costs? Where is the main office? When is the pay day?";
    assert_eq!(decompose(many).len(), MAX_PARTS);
    assert!(decompose(&many.repeat(20)).is_empty());
}
