//! The same by every command, with everybody's API key.

use super::{Secret, World};
use clap::CommandFactory as _;
use kura_tests::Kura;
use rand::Rng as _;
use std::path::Path;

/// What came of the commands.
pub(super) struct Commands {
    pub(super) tried: usize,
    pub(super) shown: usize,
}

/// How a command is tried.
enum Try {
    /// With these arguments, whatever it answers.
    With(Vec<Vec<String>>),
    /// It works on the data directory and must refuse to do so for the user of a key.
    Refused(Vec<String>),
    /// Not, for a reason.
    LeftOut,
}

impl World {
    /// Has everyone try every command on documents of all kinds.
    pub(super) fn try_commands(&mut self) -> Commands {
        let kura = Kura::new();
        let file = kura.write("new.md", "# New\n\nA new text.");
        let mut done = Commands { tried: 0, shown: 0 };
        let commands = leaves(&kura::cli::Cli::command(), "");
        assert!(commands.len() > 50, "{commands:?}");
        for person in 0..self.people.len() {
            let name = self.people[person].name.clone();
            for command in &commands {
                let target = self.random.random_range(0..self.secrets.len());
                match how(command, &self.secrets[target], &name, &file) {
                    Try::With(all) => {
                        for arguments in all {
                            let (_, output) = self.run(&kura, person, &arguments);
                            done.tried += 1;
                            done.shown +=
                                self.check_text(person, &output, &arguments.join(" ")).len();
                        }
                    }
                    Try::Refused(arguments) => {
                        let (code, output) = self.run(&kura, person, &arguments);
                        assert!(
                            code == 2 && output.contains("KURA_API_KEY"),
                            "{arguments:?}: {output}"
                        );
                        done.tried += 1;
                    }
                    Try::LeftOut => {}
                }
            }
        }
        // The test would be worthless if the commands found nothing.
        assert!(done.shown > self.people.len(), "{} shown", done.shown);
        done
    }

    /// Runs a command as someone; returns its exit code and all that it prints.
    fn run(&self, kura: &Kura, person: usize, arguments: &[String]) -> (i32, String) {
        let output = kura
            .command_at(&kura.path("absent"), arguments)
            .env("KURA_SERVER", self.app.client.url())
            .env("KURA_API_KEY", &self.people[person].key)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        assert!(!printed.contains("panicked"), "{arguments:?}: {printed}");
        (output.status.code().unwrap(), printed)
    }
}

/// Returns the names of all commands that do something, such as `collections list`.
fn leaves(command: &clap::Command, above: &str) -> Vec<String> {
    let below: Vec<&clap::Command> = command.get_subcommands().collect();
    if below.is_empty() {
        return vec![above.to_owned()];
    }
    let named = below.into_iter().map(|command| {
        let name = format!("{above} {}", command.get_name());
        leaves(command, name.trim())
    });
    named.flatten().collect()
}

/// Returns how to try a command on a document. One that is not known here fails the test: whoever adds a command says here
/// how it could leak.
fn how(command: &str, target: &Secret, person: &str, file: &Path) -> Try {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    // The command's own words, then these.
    let with = |arguments: &[&str]| {
        let given = arguments.iter().map(|argument| (*argument).to_owned());
        words(command)
            .into_iter()
            .chain(given)
            .collect::<Vec<String>>()
    };
    let once = |arguments: &[&str]| Try::With(vec![with(arguments)]);
    let collection = format!("c{}", target.collection);
    let (lure, id, job) = (
        target.lure.as_str(),
        target.id.as_str(),
        target.job.as_str(),
    );
    let question = format!("Who is {lure}?");
    let file = file.to_str().unwrap();
    let nil = "00000000-0000-0000-0000-000000000000";
    match command {
        "search" => Try::With(vec![
            with(&[lure]),
            with(&["keeper of the gate", "--limit", "100", "--json"]),
            with(&[lure, "--collection", &collection]),
        ]),
        "ask" => Try::With(vec![with(&[&question]), with(&[&question, "--json"])]),
        "explain" => once(&[lure, "--document", id, "--answer", "--json"]),
        "collections list" => once(&["--json"]),
        "collections create" => once(&[&collection]),
        "collections members" => Try::With(vec![
            with(&[&collection]),
            with(&[&collection, "--member", "everyone=editor"]),
        ]),
        "dictionary show" | "dictionary remove" | "quality" => once(&[&collection]),
        "dictionary set" => once(&[&collection, file]),
        "ingest" => Try::With(vec![
            with(&[file, "--collection", &collection, "--json"]),
            with(&[file, "--collection", &collection, "--dry-run"]),
        ]),
        "jobs list" => once(&["--json"]),
        "jobs show" | "jobs cancel" | "jobs retry" => once(&[job]),
        "keys list" | "groups list" | "users list" | "sync list" | "jobs summary" | "verify" => {
            once(&[])
        }
        "keys create" => once(&[person, "--name", lure]),
        "keys revoke" => once(&[nil]),
        "sync show" | "sync run" | "sync pause" | "sync resume" | "sync remove" => once(&[lure]),
        "sync add folder" => once(&["/nonexistent", "--collection", &collection, "--name", lure]),
        // The same request as for a folder.
        "sync add git" | "sync add web" | "sync add s3" | "sync add imap" => Try::LeftOut,
        // They stop what other tests of the server wait for; their answers have no documents.
        "jobs pause" | "jobs resume" => Try::LeftOut,
        // An administrator may change people and groups, which would change the rules of the test.
        command if command.starts_with("users ") || command.starts_with("groups ") => Try::LeftOut,
        "serve" | "doctor" => Try::Refused(with(&[])),
        "admin reindex" => Try::Refused(with(&[])),
        // One of each kind: they are refused by their first word.
        "audit list" | "eval list" | "forget list" => Try::Refused(with(&[])),
        command
            if ["audit ", "eval ", "forget "]
                .iter()
                .any(|first| command.starts_with(first)) =>
        {
            Try::LeftOut
        }
        // They know nothing of kura's documents.
        "extract" | "extract-worker" | "openapi" => Try::LeftOut,
        command if command.starts_with("models ") || command.starts_with("config ") => Try::LeftOut,
        unknown => panic!("the command `{unknown}` is not tried here"),
    }
}
