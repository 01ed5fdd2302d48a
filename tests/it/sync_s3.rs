//! A real S3 server (moto): objects that are added, changed, moved and deleted propagate.

use kura_tests::{Client, Kura};
use serde_json::Value;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed when dropped.
struct Moto {
    child: Child,
    client: Client,
}

/// Returns the server's program, if it is installed.
fn program() -> Option<PathBuf> {
    let venv = std::env::var_os("KURA_TEST_VENV").map(PathBuf::from);
    let usual =
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/kura/test-venv"));
    let found = [venv, usual]
        .into_iter()
        .flatten()
        .map(|venv| venv.join("bin/moto_server"));
    found.into_iter().find(|program| program.is_file())
}

impl Moto {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new(program()?)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the S3 server does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(Self {
            child,
            // It wants some authorization, whichever.
            client: Client::new(&format!("http://127.0.0.1:{port}"), Some("any")),
        })
    }

    fn put(&self, path: &str, text: &str) {
        let reply = self.client.send(
            "PUT",
            path,
            Some(("application/octet-stream", text.as_bytes().to_vec())),
        );
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn run(kura: &Kura) -> Value {
    let ran = kura.run(["sync", "run", "papers", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()["last_scan"].clone()
}

#[test]
fn a_bucket_is_kept_in_step() {
    let Some(server) = Moto::start() else {
        println!("skipped: moto is not installed in the tests' virtual environment");
        return;
    };
    let kura = Kura::new().with_models();
    let (access, secret) = (
        kura.write("access", "AKIAEXAMPLE\n"),
        kura.write("secret", "very-secret-key\n"),
    );
    server.put("/papers", "");
    // More than one page of a listing.
    for n in 0..1010 {
        server.put(&format!("/papers/other/{n}.txt"), "x");
    }
    server.put(
        "/papers/in/leave.md",
        "# Leave\n\nEmployees get twenty days of paid leave.",
    );
    server.put(
        "/papers/in/travel/%E5%AE%BF%20hotels+more.md",
        "# Hotels\n\nA night may cost ninety euros.",
    );
    server.put("/papers/in/folder/", "");
    let add = |name: &str, bucket: &str| {
        let mut args = vec![
            "sync",
            "add",
            "s3",
            bucket,
            "--collection",
            "c",
            "--name",
            name,
            "--key-prefix",
            "in/",
        ];
        args.extend(["--endpoint", server.client.url(), "--exclude", "never/**"]);
        args.extend([
            "--access-key-file",
            access.to_str().unwrap(),
            "--secret-key-file",
            secret.to_str().unwrap(),
        ]);
        kura.run(args)
    };
    let added = add("papers", "papers");
    assert_eq!(added.code, 0, "{added:?}");
    add("missing", "missing").assert_fails(1, &["NoSuchBucket"]);
    assert_eq!(run(&kura)["added"], 2);
    let hits = kura.run(["search", "night in a hotel", "--json"]).json();
    assert_eq!(
        hits["items"][0]["source"], "travel/宿 hotels+more.md",
        "{hits}"
    );
    assert_eq!(run(&kura)["unchanged"], 2);
    // No secret is shown or kept.
    let shown = kura.run(["sync", "show", "papers", "--json"]).stdout;
    assert!(
        shown.contains(secret.to_str().unwrap()) && !shown.contains("very-secret-key"),
        "{shown}"
    );
    let catalog = fs_err::read(kura.path("data/catalog.db")).unwrap();
    assert!(
        !catalog
            .windows(15)
            .any(|window| window == b"very-secret-key")
    );

    server.put(
        "/papers/in/leave.md",
        "# Leave\n\nEmployees get thirty days of paid leave.",
    );
    server.put(
        "/papers/in/new/hotels.md",
        "# Hotels\n\nA night may cost ninety euros.",
    );
    server.put(
        "/papers/in/parking.md",
        "# Parking\n\nThe garage opens at seven.",
    );
    assert_eq!(
        server
            .client
            .delete("/papers/in/travel/%E5%AE%BF%20hotels+more.md")
            .status,
        204
    );
    let second = run(&kura);
    let counts =
        ["added", "replaced", "renamed", "deleted"].map(|name| second[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 0], "{second}");

    drop(server);
    let gone = kura.run(["sync", "run", "papers", "--json"]);
    assert_eq!(
        (
            gone.code,
            &gone.json()["state"],
            &gone.json()["n_documents"]
        ),
        (1, &"stale".into(), &3.into()),
        "{gone:?}"
    );
    assert!(
        !gone.stdout.contains("X-Amz-Signature"),
        "a signed request is not shown: {gone:?}"
    );
    assert_eq!(kura.run(["verify"]).code, 0);
}
