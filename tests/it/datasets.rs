//! Data sets from one's own use: feedback, and questions that the generator writes.

use kura::evaluate::folder::Folder;
use kura::evaluate::library::Library;
use kura::evaluate::synth::check::Reason;
use kura::evaluate::synth::{About, Settings, State, Synth, generator_facts};
use kura_indexer::AccessFilter;
use kura_models::Generator;
use kura_models::fake::FakeGenerator;
use kura_tests::{Kura, Output, Server, TestApp, fixture};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn rows(folder: &Path, name: &str) -> Vec<Value> {
    let text = fs_err::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Query to document.
fn qrels(folder: &Path) -> BTreeMap<String, String> {
    let text = fs_err::read_to_string(folder.join("qrels.tsv")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let (query, rest) = line.split_once('\t').unwrap();
            (
                query.to_owned(),
                rest.split_once('\t').unwrap().0.to_owned(),
            )
        })
        .collect()
}

fn run(kura: &Kura, args: &[&str]) -> Output {
    let output = kura.run(args);
    output.assert_fails(0, &[]);
    output
}

/// Asks and says what one thinks of the answer; returns the answer's id.
fn rate(server: &Server, question: &str, feedback: &Value) -> String {
    let ask = json!({ "question": question, "stream": false });
    let reply = server.client.post("/api/v1/ask", &ask);
    assert_eq!(reply.status, 200, "{reply:?}");
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let body = ("application/json", feedback.to_string().into_bytes());
    let path = format!("/api/v1/answers/{id}/feedback");
    let reply = server.client.send("PUT", &path, Some(body));
    assert_eq!(reply.status, 200, "{reply:?}");
    id
}

#[test]
fn feedback_becomes_a_data_set_by_server_and_without() {
    let kura = Kura::new().with_models();
    kura.write(
        "files/leave.md",
        "# Paid leave\n\nEvery employee gets 20 days of paid leave per year. The team lead approves it.",
    );
    kura.write(
        "files/travel.md",
        "# Business travel\n\nTrains are booked in second class. The daily allowance is 28 euros.",
    );
    kura.write(
        "other/office.md",
        "# Office\n\nThe office in Sendai closes at 19:00 on weekdays.",
    );
    run(&kura, &["ingest", "files", "--collection", "handbook"]);
    run(&kura, &["ingest", "other", "--collection", "other"]);
    let server = kura.serve();
    let documents = server
        .client
        .get("/api/v1/documents?collection=handbook")
        .json();
    let ids: HashMap<&str, &str> = documents["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let field = |name: &str| item[name].as_str().unwrap();
            (field("source"), field("id"))
        })
        .collect();
    let leave = "How many days of paid leave does an employee get?";
    let up = rate(&server, leave, &json!({ "rating": "up" }));
    let travel = "What is the daily allowance on business travel?";
    let correction = json!({
        "rating": "down", "corrected_answer": "30 euros", "document": ids["travel.md"],
    });
    let corrected = rate(&server, travel, &correction);
    let refused = "Which planet has the most moons in the solar system?";
    rate(&server, refused, &json!({ "rating": "up" }));
    let bare = "Who approves paid leave?";
    rate(&server, bare, &json!({ "rating": "down", "comment": "no" }));
    let elsewhere = "When does the office in Sendai close?";
    rate(&server, elsewhere, &json!({ "rating": "up" }));

    let args = |output: &str| {
        let command = ["eval", "dataset", "feedback", "--collection", "handbook"];
        let mut args: Vec<String> = command.iter().map(|&arg| arg.to_owned()).collect();
        args.extend(["--corpus", "--json", "--output", output].map(str::to_owned));
        args
    };
    let by_server = kura.run(args("by-server"));
    by_server.assert_fails(0, &[]);
    let about = by_server.json();
    let counts = &about["counts"];
    assert_eq!(
        (&counts["rated"], &counts["up"], &counts["down"]),
        (&json!(5), &json!(3), &json!(2))
    );
    assert_eq!(counts["queries"], 3, "{about:#}");
    assert_eq!(counts["unanswerable"], 1, "{about:#}");
    assert_eq!(
        counts["left_out"],
        json!({ "down_without_correction": 1, "other_collection": 1 })
    );
    let folder = kura.path("by-server");
    let queries = rows(&folder, "queries.jsonl");
    let texts: Vec<&str> = queries
        .iter()
        .map(|query| query["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, [leave, travel, refused]);
    assert_eq!(queries[0]["rated_answers"], json!([up]));
    assert_eq!(queries[1]["answers"], json!(["30 euros"]));
    assert_eq!(queries[2]["unanswerable"], true);
    let judged = qrels(&folder);
    assert_eq!(judged[&format!("feedback-{up}")], "leave.md");
    assert_eq!(judged[&format!("feedback-{corrected}")], "travel.md");
    let corpus = rows(&folder, "corpus.jsonl");
    let named: Vec<&str> = corpus
        .iter()
        .map(|row| row["_id"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["leave.md", "travel.md"]);
    assert!(corpus[0]["text"].as_str().unwrap().contains("20 days"));
    let absent = ["eval", "dataset", "feedback", "--collection", "absent"];
    let absent = absent.iter().chain(&["--output", "absent"]);
    kura.run(absent.clone()).assert_fails(1, &["absent"]);
    assert!(server.stop());

    let here = kura.run(args("here"));
    here.assert_fails(0, &[]);
    for name in ["queries.jsonl", "qrels.tsv", "corpus.jsonl"] {
        let read = |folder: &str| fs_err::read_to_string(kura.path(folder).join(name)).unwrap();
        assert_eq!(read("by-server"), read("here"), "{name}");
    }
    kura.run(absent).assert_fails(1, &["absent"]);
    kura.run(args("here"))
        .assert_fails(1, &["exists", "--overwrite"]);
    let overwriting = args("here").into_iter().chain(["--overwrite".to_owned()]);
    kura.run(overwriting).assert_fails(0, &[]);

    // The folder is a data set with the collection and, having its documents, without.
    let retrieval = ["eval", "retrieval", "--dataset", "here", "--json"];
    for more in [&[][..], &["--collection", "handbook"]] {
        let summary = run(&kura, &[&retrieval[..], more].concat()).json();
        assert_eq!(summary["dataset"]["asked"], 2, "{summary}");
        assert_eq!(summary["warnings"], json!([]), "{summary}");
        let last = summary["stages"].as_array().unwrap().last().unwrap();
        let found = last["metrics"]["recall@10"]["mean"].as_f64().unwrap();
        assert!(found > 0.99, "{summary}");
    }
}

/// Makes questions of the app's collection with a scripted generator.
fn synth(
    app: &TestApp,
    folder: Folder,
    script: &[&str],
    resume: bool,
    change: impl FnOnce(&mut Settings),
) -> Result<About, String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let generator: Arc<dyn Generator> = Arc::new(FakeGenerator::new(script.iter().copied()));
    let mut settings = Settings {
        collection: "rooms".to_owned(),
        seed: 7,
        top: 10,
        max_overlap: 0.6,
        keep_hard: false,
        generator: generator_facts(generator.as_ref()),
    };
    change(&mut settings);
    let pipeline = Arc::clone(&app.app.pipeline);
    let access = AccessFilter::unrestricted("test");
    let made = runtime.block_on(async {
        let library = Library::local(pipeline, "rooms", access).await?;
        let synth = if resume {
            Synth::resume(library, generator, settings, folder).await
        } else {
            Synth::begin(library, generator, settings, folder).await
        };
        synth?.run(10, &|_| ()).await
    });
    made.map_err(|error| format!("{error:#}"))
}

/// Four documents that say one thing in common, one that says nothing, and a copy.
fn rooms() -> TestApp {
    let app = TestApp::start();
    for (name, about) in [
        (
            "aoba.md",
            "is on the second floor, seats twelve people, has a projector and a whiteboard, and is closed on Mondays",
        ),
        (
            "birch.md",
            "lies behind the canteen, was renovated last spring, takes up to forty guests and must be aired after use",
        ),
        (
            "cedar.md",
            "belongs to the sales department, who lend it to others when nobody expects a customer from abroad that day",
        ),
        (
            "delta.md",
            "may be used without asking until noon; afterwards the training team teaches newcomers there every single week",
        ),
    ] {
        let text =
            format!("This room {about}. Whoever finds it locked dials extension 4471 and waits.");
        app.add("rooms", name, text.as_bytes());
        if name == "aoba.md" {
            app.add(
                "rooms",
                "zz-copy.md",
                text.replace("twelve", "eleven").as_bytes(),
            );
        }
    }
    app.add("rooms", "empty.md", b"# To be written");
    app
}

const GOOD: &str =
    "Question: Which number helps when one stands before a shut door?\nAnswer: extension 4471";

#[test]
fn what_is_refused_is_counted_and_a_run_goes_on_where_it_stopped() {
    let app = rooms();
    let dir = tempfile::tempdir().unwrap();
    let folder = || Folder::create(dir.path(), true).unwrap();
    let script = [
        "I cannot think of anything",
        "Question: What does the passage say about doors?\nAnswer: extension 4471",
        GOOD,
        GOOD,
    ];
    let about = synth(&app, folder(), &script, false, |_| ()).unwrap();
    assert_eq!(about.state, State::Exhausted);
    let counts = &about.counts;
    assert_eq!((counts.documents, counts.questions, counts.hard), (6, 1, 0));
    let refused = [Reason::Malformed, Reason::RefersToPassage, Reason::Repeated];
    assert_eq!(counts.rejected, refused.map(|reason| (reason, 1)).into());
    let skipped = serde_json::to_value(&counts.skipped).unwrap();
    assert_eq!(skipped, json!({ "too_short": 1, "near_duplicate": 1 }));
    let rejected = rows(dir.path(), "rejected.jsonl");
    assert_eq!(rejected[0]["reply"], script[0]);
    let queries = rows(dir.path(), "queries.jsonl");
    assert_eq!(queries[0]["answers"], json!(["extension 4471"]));
    assert_eq!(
        qrels(dir.path())[queries[0]["_id"].as_str().unwrap()],
        queries[0]["document"]
    );
    let described: About = Folder::open(dir.path()).unwrap().about().unwrap();
    assert_eq!(described.counts, about.counts);
    assert_eq!(described.index_generation, Some(1));

    // Nothing is asked again, and the same seed takes the same passages.
    let open = || Folder::open(dir.path()).unwrap();
    let never = ["Question: Is this asked twice, or even more often?\nAnswer: extension 4471"];
    let again = synth(&app, open(), &never, true, |_| ()).unwrap();
    assert_eq!(again.counts, about.counts);
    assert_eq!(rows(dir.path(), "queries.jsonl"), queries);
    // A run that was cut off in the middle: the last passage is made again, the rest stays.
    let kept: String = queries.iter().map(|query| format!("{query}\n")).collect();
    fs_err::write(dir.path().join("queries.jsonl"), &kept[..kept.len() / 2]).unwrap();
    let again = synth(&app, open(), &[GOOD], true, |_| ()).unwrap();
    assert_eq!(again.counts, about.counts);
    assert_eq!(rows(dir.path(), "queries.jsonl"), queries);

    let error = synth(&app, open(), &[GOOD], true, |settings| settings.seed = 8).unwrap_err();
    assert!(error.contains("other settings"), "{error}");
    let other = synth(&app, folder(), &script, false, |settings| settings.seed = 8).unwrap();
    assert_eq!(other.counts.rejected, about.counts.rejected);
    assert_ne!(
        rows(dir.path(), "rejected.jsonl"),
        rejected,
        "the seed decides"
    );
}

#[test]
fn a_question_that_does_not_find_its_document_is_refused_or_kept_as_hard() {
    let app = rooms();
    let dir = tempfile::tempdir().unwrap();
    // All are about one of the rooms: made of the others, they fail the round trip.
    let script = [
        "Question: Where is the room with a projector, a whiteboard and twelve seats?\nAnswer: extension 4471",
        "Question: Which room seats twelve people on the second floor?\nAnswer: extension 4471",
        "Question: Is the room with a whiteboard on the second floor ever closed?\nAnswer: extension 4471",
        "Question: Where do twelve people find a projector and a whiteboard?\nAnswer: extension 4471",
    ];
    let mut refused = 0;
    for keep_hard in [false, true] {
        let folder = Folder::create(dir.path(), true).unwrap();
        let change = |settings: &mut Settings| {
            settings.top = 1;
            settings.keep_hard = keep_hard;
        };
        let counts = synth(&app, folder, &script, false, change).unwrap().counts;
        let not_found = counts.rejected.get(&Reason::NotFoundAgain).copied();
        let hard = |row: &Value| row["rank"].as_u64() != Some(1);
        if keep_hard {
            assert_eq!(not_found, None, "{counts:?}");
            assert_eq!((counts.questions, counts.hard), (4, refused), "{counts:?}");
            for query in rows(dir.path(), "queries.jsonl") {
                assert_eq!(query["hard"], hard(&query), "{query}");
            }
        } else {
            refused = not_found.unwrap();
            assert!(refused >= 3, "{counts:?}");
            assert_eq!((counts.questions, counts.hard), (4 - refused, 0));
            assert!(rows(dir.path(), "rejected.jsonl").iter().all(hard));
        }
    }
}

fn with_generator(generator: &str) -> Kura {
    Kura::new()
        .with_models()
        .env("KURA__MODELS__EMBEDDER", "multilingual-e5-small")
        .env("KURA__MODELS__GENERATOR", generator)
}

/// Adds a few documents of both languages.
fn ingest_some(kura: &Kura) {
    for name in [
        "remote-work.en.md",
        "paid-leave.ja.md",
        "expenses-and-travel.ja.txt",
        "会議室予約ルール.txt",
    ] {
        let content = fs_err::read(fixture("handbook").join(name)).unwrap();
        kura.write(&format!("files/{name}"), content);
    }
    run(kura, &["ingest", "files", "--collection", "handbook"]);
}

#[test]
fn a_real_generator_writes_questions_in_the_language_of_their_documents() {
    let kura = with_generator("qwen2.5-coder-1.5b-instruct");
    ingest_some(&kura);
    let started = Instant::now();
    let synth = [
        "eval",
        "synth",
        "--collection",
        "handbook",
        "--output",
        "set",
    ];
    let output = run(
        &kura,
        &[&synth[..], &["--questions", "3", "--json"]].concat(),
    );
    println!("{:.1?}\n{}", started.elapsed(), output.stdout);
    let about = output.json();
    assert_eq!(about["state"], "complete", "{about:#}");
    assert_eq!(about["index_generation"], 1);
    let generator = &about["settings"]["generator"];
    assert_eq!(generator["id"], "qwen2.5-coder-1.5b-instruct");
    assert_eq!(generator["sha256"].as_str().unwrap().len(), 64);
    let folder = kura.path("set");
    let queries = rows(&folder, "queries.jsonl");
    assert_eq!(queries.len(), 3);
    let judged = qrels(&folder);
    for query in &queries {
        println!("{query}");
        let source = judged[query["_id"].as_str().unwrap()].as_str();
        let question = query["text"].as_str().unwrap();
        let is_japanese = question.chars().any(|c| c > '\u{3000}');
        assert_eq!(is_japanese, !source.contains(".en."), "{query}");
        // Figures of the answer are the document's.
        let path = fixture("handbook").join(source).display().to_string();
        let document = run(&kura, &["extract", &path]).stdout;
        let answer = query["answers"][0].as_str().unwrap();
        for figure in answer.split(|c: char| !c.is_ascii_digit()) {
            assert!(document.contains(figure), "{query}");
        }
        assert!(query["rank"].as_u64().unwrap() <= 10, "{query}");
    }
    let again = [&synth[..], &["--questions", "1"]].concat();
    kura.run(again).assert_fails(1, &["exists", "--overwrite"]);

    let retrieval = ["eval", "retrieval", "--dataset", "set", "--json"];
    let args = [&retrieval[..], &["--collection", "handbook"]].concat();
    let summary = run(&kura, &args).json();
    assert_eq!(summary["dataset"]["asked"], 3);
    assert_eq!(summary["warnings"], json!([]), "{summary}");
}

#[test]
fn an_interrupted_run_keeps_what_was_made_and_needs_a_generator() {
    let kura = with_generator("smollm2-135m-instruct");
    ingest_some(&kura);
    let synth = [
        "eval",
        "synth",
        "--collection",
        "handbook",
        "--output",
        "set",
    ];
    let child = kura
        .command_at(&kura.path("data"), synth)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let folder = kura.path("set");
    let through = || {
        let lines = ["queries.jsonl", "rejected.jsonl"]
            .map(|name| fs_err::read_to_string(folder.join(name)).unwrap_or_default());
        lines.concat().lines().count()
    };
    let deadline = Instant::now() + Duration::from_secs(180);
    while through() < 2 {
        assert!(Instant::now() < deadline, "no passage is through");
        std::thread::sleep(Duration::from_millis(50));
    }
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("--resume"));
    let about: Value =
        serde_json::from_slice(&fs_err::read(folder.join("dataset.json")).unwrap()).unwrap();
    assert_eq!(about["state"], "unfinished");
    let other = [&synth[..], &["--resume", "--seed", "1"]].concat();
    kura.run(other).assert_fails(1, &["other settings"]);

    let without = kura.env("KURA__MODELS__GENERATOR", "");
    without
        .run([&synth[..], &["--resume"]].concat())
        .assert_fails(1, &["no generator", "models.generator"]);
}
