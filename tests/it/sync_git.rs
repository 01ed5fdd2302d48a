//! A real git repository: additions, changes, renames and deletions of a branch propagate.

use kura_tests::Kura;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn git(dir: &Path, args: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.com",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn commit(dir: &Path) {
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", "Change"]);
}

fn run(kura: &Kura) -> Value {
    let ran = kura.run(["sync", "run", "handbook", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()["last_scan"].clone()
}

fn found(kura: &Kura, query: &str) -> Vec<String> {
    let search = kura.run(["search", query, "--json"]).json();
    let items = search["items"].as_array().unwrap();
    items
        .iter()
        .map(|hit| hit["source"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_branch_is_kept_in_step() {
    if Command::new("git").arg("--version").output().is_err() {
        println!("skipped: git is not installed");
        return;
    }
    let kura = Kura::new().with_models();
    let repository = kura.path("handbook");
    kura.write(
        "handbook/leave.md",
        "# Leave\n\nEmployees get twenty days of paid leave.",
    );
    kura.write(
        "handbook/travel/hotels.md",
        "# Hotels\n\nA night may cost ninety euros.",
    );
    kura.write(
        "handbook/.github/notes.md",
        "# Notes\n\nHidden files of a repository are meant, too.",
    );
    git(&repository, &["init", "--quiet"]);
    std::os::unix::fs::symlink("/etc/passwd", repository.join("link.md")).unwrap();
    // Neither hooks nor filters of the repository are run.
    let hook = kura.write(
        "handbook/.git/hooks/post-checkout",
        format!("#!/bin/sh\ntouch {}\n", kura.path("ran").display()),
    );
    fs_err::set_permissions(hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    commit(&repository);
    git(&repository, &["branch", "other"]);

    let url = repository.to_str().unwrap();
    let add = |args: &[&str]| {
        kura.run([&["sync", "add", "git", url, "--collection", "c"][..], args].concat())
    };
    let added = add(&["--branch", "main", "--json"]);
    assert_eq!(added.code, 0, "{added:?}");
    add(&["--name", "x", "--branch", "missing"]).assert_fails(1, &["no such repository or branch"]);
    add(&["--name", "x", "--branch=--upload-pack=x"]).assert_fails(1, &["no name of a branch"]);
    let first = run(&kura);
    assert_eq!(first["added"], 3, "{first}");
    assert_eq!(found(&kura, "paid leave")[0], "leave.md");
    assert!(!kura.path("ran").exists());

    // What is not committed is not seen.
    kura.write(
        "handbook/leave.md",
        "# Leave\n\nEmployees get thirty days of paid leave.",
    );
    assert_eq!(run(&kura)["unchanged"], 3);
    fs_err::remove_dir_all(repository.join(".github")).unwrap();
    fs_err::rename(
        repository.join("travel/hotels.md"),
        repository.join("hotels.md"),
    )
    .unwrap();
    kura.write("handbook/new.md", "# Parking\n\nThe garage opens at seven.");
    commit(&repository);
    let second = run(&kura);
    let counts =
        ["added", "replaced", "renamed", "deleted"].map(|name| second[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1], "{second}");
    assert_eq!(found(&kura, "night in a hotel")[0], "hotels.md");
    let text = kura.run(["search", "paid leave", "--json"]).stdout;
    assert!(text.contains("thirty days") && !text.contains("twenty days"));

    // A repository that cannot be read keeps its documents.
    fs_err::rename(&repository, kura.path("away")).unwrap();
    let gone = kura.run(["sync", "run", "handbook", "--json"]);
    assert_eq!(
        (
            gone.code,
            &gone.json()["state"],
            &gone.json()["n_documents"]
        ),
        (1, &"stale".into(), &3.into()),
        "{gone:?}"
    );
    fs_err::rename(kura.path("away"), &repository).unwrap();
    assert_eq!(run(&kura)["unchanged"], 3);
    assert_eq!(kura.run(["verify"]).code, 0);

    // With the source its copy goes.
    let copies = || {
        fs_err::read_dir(kura.path("data/sync"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    };
    assert_eq!(copies(), 1);
    assert_eq!(
        kura.run(["sync", "remove", "handbook", "--with-documents"])
            .code,
        0
    );
    assert_eq!(copies(), 0);
}
