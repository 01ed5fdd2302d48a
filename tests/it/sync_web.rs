//! A real nginx: pages that are added, changed and deleted propagate, and no other host is asked.

use kura_tests::Kura;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running nginx; killed when dropped.
struct Nginx {
    child: Child,
    port: u16,
    /// A port that no source may ask.
    other: u16,
}

impl Nginx {
    /// Serves `dir/site`; `None` if nginx is not installed.
    fn start(dir: &Path) -> Option<Self> {
        let binary = ["/usr/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let free = || {
            TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port()
        };
        let (port, other) = (free(), free());
        let at = dir.display();
        let config = format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/error.log;
             events {{ }}
             http {{
               client_body_temp_path {at}/t; proxy_temp_path {at}/t; fastcgi_temp_path {at}/t; uwsgi_temp_path {at}/t; scgi_temp_path {at}/t;
               types {{ text/html html; text/plain txt; application/xml xml; }}
               log_format short '$request_uri $status';
               server {{
                 listen 127.0.0.1:{port}; root {at}/site; access_log {at}/access.log short;
                 location = /away {{ return 302 http://127.0.0.1:{other}/secret.html; }}
                 location = /moved {{ return 301 /rooms.html; }}
                 location = /broken {{ return 500; }}
               }}
               server {{ listen 127.0.0.1:{other}; root {at}/site; access_log {at}/other.log short; }}
             }}"
        );
        fs_err::write(dir.join("nginx.conf"), config).unwrap();
        let child = Command::new(binary)
            .args([
                "-p",
                dir.to_str().unwrap(),
                "-e",
                dir.join("error.log").to_str().unwrap(),
                "-c",
                "nginx.conf",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "{}",
                fs_err::read_to_string(dir.join("error.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { child, port, other })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn run(kura: &Kura) -> Value {
    let ran = kura.run(["sync", "run", "intranet", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()["last_scan"].clone()
}

fn counts(scan: &Value) -> [u64; 4] {
    ["added", "replaced", "deleted", "unchanged"].map(|name| scan[name].as_u64().unwrap())
}

#[test]
fn a_site_is_kept_in_step() {
    let kura = Kura::new().with_models();
    let dir = kura.path("nginx");
    let page = |title: &str, body: &str| {
        format!(
            "<html><head><title>{title}</title></head><body><main><p>{body}</p></main></body></html>"
        )
    };
    let write = |name: &str, text: &str| kura.write(&format!("nginx/site/{name}"), text);
    write(
        "rooms.html",
        &page("Rooms", "The large meeting room seats forty people."),
    );
    write(
        "map.html",
        &page("Map", "Only the site map leads here: the harbor office."),
    );
    write(
        "private/pay.html",
        &page("Pay", "What robots must not read."),
    );
    write(
        "noindex.html",
        "<meta name=robots content=noindex><p>Not to be indexed.</p><a href=behind.html>on</a>",
    );
    write(
        "behind.html",
        &page(
            "Behind",
            "Reached through a page that is not indexed itself.",
        ),
    );
    write("secret.html", &page("Secret", "On the other host only."));
    write("robots.txt", "User-agent: *\nDisallow: /private/\n");
    let Some(nginx) = Nginx::start(&dir) else {
        println!("skipped: nginx is not installed");
        return;
    };
    let (here, other) = (
        format!("http://127.0.0.1:{}", nginx.port),
        format!("http://127.0.0.1:{}", nginx.other),
    );
    write(
        "sitemap.xml",
        &format!(
            "<urlset><url><loc>{here}/map.html</loc></url><url><loc>{other}/secret.html</loc></url></urlset>"
        ),
    );
    let links = [
        "moved",
        "away",
        "broken",
        "private/pay.html",
        "noindex.html",
        "rooms.html#seats",
        "missing.html",
    ];
    let links: String = links
        .iter()
        .map(|to| format!("<a href=\"/{to}\">x</a>"))
        .collect();
    write(
        "index.html",
        &format!(
            "<html><body><main><p>Welcome to the intranet of the port.</p></main>{links}<a href=\"{other}/secret.html\">x</a></body></html>"
        ),
    );

    let added = kura.run([
        "sync",
        "add",
        "web",
        &format!("{here}/"),
        "--collection",
        "c",
        "--name",
        "intranet",
        "--delay",
        "0",
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(counts(&run(&kura)), [4, 0, 0, 0]);
    let documents = kura
        .run(["search", "harbor office of the port", "--json"])
        .json();
    assert!(
        documents["items"][0]["source"]
            .as_str()
            .unwrap()
            .ends_with("/map.html"),
        "{documents}"
    );
    let log = fs_err::read_to_string(dir.join("access.log")).unwrap();
    assert!(!log.contains("/private/"), "robots.txt forbids it: {log}");
    assert_eq!(
        fs_err::read_to_string(dir.join("other.log")).unwrap_or_default(),
        "",
        "no other host is asked"
    );

    // Nothing has changed: the server says so, and nothing is sent.
    fs_err::write(dir.join("access.log"), "").unwrap();
    assert_eq!(counts(&run(&kura)), [0, 0, 0, 4]);

    // A change, a page that is gone, a new one.
    std::thread::sleep(Duration::from_millis(1100));
    write(
        "rooms.html",
        &page("Rooms", "The large meeting room seats fifty people."),
    );
    fs_err::remove_file(dir.join("site/map.html")).unwrap();
    write(
        "behind.html",
        &(page(
            "Behind",
            "Reached through a page that is not indexed itself.",
        ) + "<a href=/deep.html>x</a>"),
    );
    write(
        "deep.html",
        &page(
            "Deep",
            "A page that was not there before: the divers' lockers.",
        ),
    );
    assert_eq!(counts(&run(&kura)), [1, 2, 1, 1]);
    let text = kura.run(["search", "large meeting room", "--json"]).stdout;
    assert!(
        text.contains("fifty people") && !text.contains("forty people"),
        "{text}"
    );

    // A site that does not answer keeps its documents.
    drop(nginx);
    let gone = kura.run(["sync", "run", "intranet", "--json"]);
    assert_eq!(
        (
            gone.code,
            &gone.json()["state"],
            &gone.json()["n_documents"]
        ),
        (1, &"stale".into(), &4.into()),
        "{gone:?}"
    );
    assert_eq!(kura.run(["verify"]).code, 0);
    kura.run(["sync", "add", "web", "ftp://host/", "--collection", "c"])
        .assert_fails(1, &["no address of a web page"]);
}
