//! Forgetting by command, with and without a server.

use super::{assert_gone, canary};
use crate::leftovers::{files, find};
use kura_tests::Kura;

#[test]
fn the_command_forgets_with_and_without_a_server_and_checks_certificates() {
    let kura = Kura::new().with_models();
    let data = kura.path("data");
    let words = [canary(110), canary(111)];
    for word in &words {
        kura.write(
            &format!("in/{word}.md"),
            format!("# {word}\n\nThe word is {word}."),
        );
    }
    let ingested = kura.run(["ingest", "in", "--collection", "hr"]);
    assert_eq!(ingested.code, 0, "{ingested:?}");
    let of = |word: &str| {
        let found = kura.run(["search", word, "--json"]).json();
        let text = found.to_string();
        let hits = found["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{text}"));
        let hit = hits
            .iter()
            .find(|hit| hit.to_string().contains(word))
            .unwrap();
        let chunk = hit["chunk"].as_str().or(hit["id"].as_str());
        chunk
            .unwrap_or_else(|| panic!("{hit}"))
            .split(':')
            .next()
            .unwrap()
            .to_owned()
    };
    let [first, second] = [of(&words[0]), of(&words[1])];
    let planned = kura.run(["forget", "document", &first, "--dry-run"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(
        planned.stdout.contains("would be erased") && planned.stdout.contains("would remain"),
        "{planned:?}"
    );
    assert_eq!(find(&data, &words).len(), 2);

    let file = kura.path("certificate.json");
    let path = file.to_str().unwrap();
    let done = kura.run(["forget", "document", &first, "--certificate", path]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_gone(&data, &words[..1]);
    let holds = kura.run(["forget", "verify", path]);
    assert_eq!(holds.code, 0, "{holds:?}");
    let public = data.join("erasure.pub");
    let elsewhere = kura.path("elsewhere");
    let check = |args: &[&str]| {
        let mut command = kura.command_at(&elsewhere, ["forget", "verify"]);
        command.args(args).output().unwrap().status.code()
    };
    assert_eq!(check(&[path, "--key", public.to_str().unwrap()]), Some(0));
    assert_eq!(check(&[path]), Some(2), "there is no key to check with");
    let text = fs_err::read_to_string(&file).unwrap();
    let changed = kura.write("changed.json", text.replacen(&first, &second, 1));
    let output = kura.run(["forget", "verify", changed.to_str().unwrap()]);
    assert_eq!(output.code, 1, "{output:?}");
    kura.run(["forget", "document", &second, "--certificate", path])
        .assert_fails(2, &["exists"]);

    let server = kura.serve();
    let done = kura.run(["forget", "document", &second, "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.json()["state"], "done");
    assert_gone(&data, &words);
    let listed = kura.run(["forget", "list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let printed = kura.run(["forget", "certificate", listed[1]["id"].as_str().unwrap()]);
    assert_eq!(printed.stdout, text);
    kura.run(["forget", "person", "nobody"])
        .assert_fails(1, &["nobody"]);
    assert!(server.stop());
    assert!(
        files(&data)
            .iter()
            .all(|path| !path.to_string_lossy().contains("dense."))
    );
}
