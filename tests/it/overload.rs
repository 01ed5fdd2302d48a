//! Ten times as much as can be done, clients that are slow on purpose, and a thousand that do nothing.
//!
//! `KURA_TEST_OVERLOAD_SECS` sets how long a flood lasts: 120 in `make nightly`.

use kura_tests::{Client, Kura, Server, number_from_env};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// People who ask.
const PEOPLE: usize = 20;
/// Connections that the flood comes by.
const SENDERS: usize = 96;
/// Memory that a flood may cost.
const MAX_GROWTH_MIB: u64 = 256;
/// What a machine that does other things besides may add to what is measured.
const NOISE: f64 = 1.5;

const FACTS: [&str; 6] = [
    "Employees get twenty days of paid leave, and five more after ten years.",
    "The canteen is closed on Fridays in August, and the vending machines stay on.",
    "Travel expenses are claimed within thirty days, with receipts, by the form on the intranet.",
    "Visitors sign in at the reception, wear a badge and are met by whom they visit.",
    "Laptops are encrypted; who loses one tells the service desk within the hour.",
    "The fire drill takes place every spring, and everyone meets at the north gate.",
];

/// One request of a flood.
#[derive(Clone, Copy)]
struct Sample {
    /// When it was sent, since the flood began.
    at: Duration,
    status: u16,
    took: Duration,
}

/// What is asked.
#[derive(Clone, Copy)]
struct Load {
    path: &'static str,
    /// The member that the question is in.
    name: &'static str,
}

const SEARCH: Load = Load {
    path: "/api/v1/search",
    name: "query",
};

impl Load {
    fn body(self, n: usize) -> Value {
        let question = [
            "How many days of paid leave are there?",
            "When is the canteen closed?",
            "How are travel expenses claimed?",
            "What do visitors do at the reception?",
            "Who is told of a lost laptop?",
            "Where does everyone meet at the fire drill?",
        ][n % 6];
        let mut body = json!({});
        body[self.name] = question.into();
        if self.name == "question" {
            body["stream"] = false.into();
        } else {
            // As long as what people paste: this small index answers a short one sooner than ten requests can be sent and
            // refused, and those who send share the cores.
            body["query"] = format!("{question} {}", FACTS.join(" ")).into();
        }
        body
    }

    fn send(self, client: &Client, n: usize) -> Sample {
        let begun = Instant::now();
        let reply = client.post(self.path, &self.body(n));
        let took = begun.elapsed();
        if reply.status == 503 || reply.status == 429 {
            let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&after));
            assert_eq!(reply.json()["code"], "overloaded", "{reply:?}");
        } else {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        Sample {
            at: Duration::ZERO,
            status: reply.status,
            took,
        }
    }

    /// Asks one question after the other.
    fn alone(self, client: &Client, time: Duration) -> Vec<Sample> {
        let until = Instant::now() + time;
        let asked = (0..).take_while(|_| Instant::now() < until);
        asked.map(|n| self.send(client, n)).collect()
    }

    /// Asks as fast as so many clients get answers; returns how many that is a second.
    fn capacity(self, clients: &[Client], time: Duration) -> f64 {
        let begun = Instant::now();
        let n_done = AtomicU64::new(0);
        let done = &n_done;
        std::thread::scope(|scope| {
            for client in clients {
                scope.spawn(move || {
                    let accepted = self.alone(client, time);
                    let n = accepted.iter().filter(|one| one.status == 200).count();
                    done.fetch_add(n as u64, Ordering::Relaxed);
                });
            }
        });
        n_done.into_inner() as f64 / begun.elapsed().as_secs_f64()
    }

    /// Asks so many questions a second, whatever becomes of them.
    fn flood(self, clients: &[Client], per_second: f64, time: Duration) -> Vec<Sample> {
        let begun = Instant::now();
        let (next, all) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let (next, samples) = (&next, &all);
        std::thread::scope(|scope| {
            for client in clients {
                scope.spawn(move || {
                    let mut own = Vec::new();
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let at = Duration::from_secs_f64(n as f64 / per_second);
                        if at >= time || begun.elapsed() >= time {
                            break;
                        }
                        std::thread::sleep((begun + at).saturating_duration_since(Instant::now()));
                        let at = begun.elapsed();
                        let sample = self.send(client, n as usize);
                        own.push(Sample { at, ..sample });
                    }
                    samples.lock().unwrap().extend(own);
                });
            }
        });
        all.into_inner().unwrap()
    }
}

/// Milliseconds below which so many of a hundred lie.
fn percentile(samples: &[Duration], of_hundred: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort();
    let at = (sorted.len() * of_hundred).div_ceil(100).max(1) - 1;
    sorted[at].as_secs_f64() * 1e3
}

fn took(samples: &[Sample], is_meant: impl Fn(u16) -> bool) -> Vec<Duration> {
    let meant = samples.iter().filter(|sample| is_meant(sample.status));
    meant.map(|sample| sample.took).collect()
}

fn resident_mib(server: &Server) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

/// Starts a server with a few documents; `limits` are settings.
fn serve(settings: &[(&str, &str)]) -> (Kura, Server) {
    let mut kura = Kura::new().with_models();
    for (name, value) in settings {
        kura = kura.env(name, value);
    }
    let server = kura.serve();
    for (n, fact) in FACTS.iter().enumerate() {
        let reply = server
            .client
            .upload("handbook", &format!("{n}.txt"), fact.as_bytes());
        assert_eq!(reply.status, 202, "{reply:?}");
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.client.get("/api/v1/jobs/summary").json()["queued"] != 0
        || server.client.get("/api/v1/jobs/summary").json()["running"] != 0
    {
        assert!(Instant::now() < deadline, "the documents are not indexed");
        std::thread::sleep(Duration::from_millis(50));
    }
    (kura, server)
}

/// Returns the keys of so many people.
fn keys(server: &Server, n: usize) -> Vec<String> {
    let key = |n| {
        let name = format!("person-{n}");
        let body = json!({ "kind": "service", "name": name });
        assert_eq!(server.client.post("/api/v1/users", &body).status, 201);
        let body = json!({ "name": "test", "user": name });
        let made = server.client.post("/api/v1/api-keys", &body);
        made.json()["key"].as_str().unwrap().to_owned()
    };
    (0..n).map(key).collect()
}

/// Watches a server from aside.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: std::thread::JoinHandle<(Vec<Duration>, u64)>,
}

impl Watch {
    fn begin(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, pid) = (Arc::clone(&stop), server.pid());
        let client = Client::new(server.client.url(), None);
        let seen = std::thread::spawn(move || {
            let (mut health, mut most) = (Vec::new(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(client.get("/healthz").status, 200);
                health.push(begun.elapsed());
                let status = fs_err::read_to_string(format!("/proc/{pid}/statm")).unwrap();
                let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
                most = most.max(pages * 4096 / (1 << 20));
                std::thread::sleep(Duration::from_millis(100));
            }
            (health, most)
        });
        Self { stop, seen }
    }

    /// Returns how long health checks took, and the most memory, in MiB.
    fn end(self) -> (Vec<Duration>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

/// One flood at a time: two would be load to each other.
static FLOOD: Mutex<()> = Mutex::new(());

/// Floods a server with ten times what it can do, and checks what becomes of everyone.
fn overload(server: &Server, load: Load, n_at_once: usize, measure: Duration) {
    let _alone = FLOOD.lock().unwrap_or_else(PoisonError::into_inner);
    let time = Duration::from_secs(number_from_env("KURA_TEST_OVERLOAD_SECS", 20));
    let keys = keys(server, PEOPLE);
    let client = |n: usize| Client::new(server.client.url(), Some(&keys[n % PEOPLE]));
    let clients: Vec<Client> = (0..SENDERS).map(client).collect();
    load.alone(&clients[0], Duration::from_secs(1));
    let unloaded = took(&load.alone(&clients[0], measure), |_| true);
    let capacity = load.capacity(&clients[..n_at_once], measure);
    let before = resident_mib(server);

    let watch = Watch::begin(server);
    let begun = Instant::now();
    let samples = load.flood(&clients, capacity * 10.0, time);
    let (lasted, offered) = (begun.elapsed().as_secs_f64(), samples.len() as f64);
    let (health, most) = watch.end();
    let ended = Instant::now();
    // Normal again: the next ten are answered, as quickly as before.
    let recovered = loop {
        let next: Vec<Sample> = (0..10).map(|n| load.send(&clients[1], n)).collect();
        let is_normal = next.iter().all(|one| one.status == 200)
            && percentile(&took(&next, |_| true), 50) <= percentile(&unloaded, 95) * NOISE;
        if is_normal {
            break ended.elapsed();
        }
        assert!(
            ended.elapsed() < Duration::from_secs(30),
            "still not normal"
        );
    };

    // Those who come first wait as on any calm day, until somebody has to be refused.
    let later: Vec<Sample> = samples
        .iter()
        .filter(|sample| sample.at >= Duration::from_secs(2))
        .copied()
        .collect();
    let accepted = took(&later, |status| status == 200);
    let refused = took(&samples, |status| status != 200);
    println!(
        "{} at {:.0} a second for {lasted:.0} s ({:.1} x the capacity of {capacity:.1}): {} accepted, {} refused\n\
         accepted: p50 {:.1} ms, p95 {:.1} ms; unloaded: p50 {:.1} ms, p95 {:.1} ms; ratio of p95 {:.2}\n\
         refused: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms\n\
         health: p95 {:.1} ms, longest {:.1} ms; memory {before} MiB before, at most {most} MiB; normal again after {:.1} s",
        load.path,
        offered / lasted,
        offered / lasted / capacity,
        accepted.len(),
        refused.len(),
        percentile(&accepted, 50),
        percentile(&accepted, 95),
        percentile(&unloaded, 50),
        percentile(&unloaded, 95),
        percentile(&accepted, 95) / percentile(&unloaded, 95),
        percentile(&refused, 50),
        percentile(&refused, 95),
        percentile(&refused, 99),
        percentile(&refused, 100),
        percentile(&health, 95),
        percentile(&health, 100),
        recovered.as_secs_f64(),
    );
    assert!(offered / lasted >= capacity * 5.0, "this is no overload");
    // Refusing is not all that it does: at least half of what it can.
    assert!(accepted.len() as f64 >= capacity * (lasted - 2.0) / 2.0);
    assert!(percentile(&refused, 95) <= 100.0);
    assert!(percentile(&refused, 99) <= 100.0 * NOISE);
    assert!(percentile(&accepted, 95) <= 2.0 * NOISE * percentile(&unloaded, 95));
    assert!(percentile(&health, 95) <= 50.0 * NOISE);
    assert!(most <= before + MAX_GROWTH_MIB);
    assert!(recovered <= Duration::from_secs(10));
}

#[test]
#[ignore = "measures times, so it needs the machine to itself: make nightly"]
fn too_many_searches_are_refused_soon_and_the_others_stay_quick() {
    // It is the places that are tested here, not the rates.
    let (_kura, server) = serve(&[("KURA__LIMITS__REQUESTS_PER_MINUTE", "0")]);
    let cores = std::thread::available_parallelism().unwrap().get();
    overload(&server, SEARCH, cores, Duration::from_secs(4));
    let metrics = String::from_utf8(server.client.get("/metrics").body).unwrap();
    assert!(metrics.contains("kura_requests_refused_total{reason=\"searches\"}"));
    assert!(metrics.contains("kura_pool_running{pool=\"searches\"} 0"));
    // Nothing was done for who was refused, so nothing is on record.
    let records = server.client.get("/api/v1/audit?action=search&limit=200");
    let records = records.json();
    let records = records["items"].as_array().unwrap();
    let is_done = |record: &Value| record["outcome"]["status"] == 200;
    assert!(records.len() == 200 && records.iter().all(is_done));
}

#[test]
#[ignore = "measures times, so it needs the machine to itself: make nightly"]
fn too_many_questions_are_refused_soon_and_the_others_stay_quick() {
    let (_kura, server) = serve(&[
        ("KURA__LIMITS__REQUESTS_PER_MINUTE", "0"),
        ("KURA__LIMITS__ANSWERS_PER_MINUTE", "0"),
        ("KURA__MODELS__GENERATOR", "smollm2-135m-instruct"),
        ("KURA__ANSWER__MAX_NEW_TOKENS", "24"),
        ("KURA__ANSWER__CONTEXT_TOKENS", "200"),
        ("KURA__ANSWER__MIN_SUPPORT", "0"),
    ]);
    let ask = Load {
        path: "/api/v1/ask",
        name: "question",
    };
    overload(&server, ask, 1, Duration::from_secs(8));
}

/// Opens a connection.
fn connect(server: &Server) -> TcpStream {
    let address: SocketAddr = server
        .client
        .url()
        .trim_start_matches("http://")
        .parse()
        .unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// Returns what comes on a connection until it is closed, and how long that took.
fn rest(mut stream: TcpStream) -> (String, Duration) {
    let (begun, mut text) = (Instant::now(), Vec::new());
    // A reset is an end, too.
    drop(stream.read_to_end(&mut text));
    (String::from_utf8_lossy(&text).into_owned(), begun.elapsed())
}

/// Fails unless searches take about as long as before.
fn assert_unharmed(client: &Client, before: f64) {
    let samples = SEARCH.alone(client, Duration::from_secs(2));
    assert!(samples.iter().all(|one| one.status == 200));
    let p95 = percentile(&took(&samples, |_| true), 95);
    println!("searches: p95 {before:.1} ms before, {p95:.1} ms beside them");
    assert!(p95 <= before * 2.0 * NOISE);
}

#[test]
fn slow_and_idle_clients_harm_nobody() {
    const IDLE: usize = 1_000;
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(files > IDLE as u64 + 500, "only {files} files may be open");
    let (_kura, server) = serve(&[
        ("KURA__SERVER__HEADER_TIMEOUT_SECS", "4"),
        ("KURA__SERVER__BODY_TIMEOUT_SECS", "2"),
    ]);
    SEARCH.alone(&server.client, Duration::from_secs(1));
    let before = SEARCH.alone(&server.client, Duration::from_secs(2));
    let before = percentile(&took(&before, |_| true), 95);
    let memory = resident_mib(&server);

    let idle: Vec<TcpStream> = (0..IDLE).map(|_| connect(&server)).collect();
    // Each sends the head of its request byte by byte, and never ends.
    let server_ref = &server;
    std::thread::scope(|scope| {
        let loris: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(move || {
                    let (mut stream, begun) = (connect(server_ref), Instant::now());
                    stream
                        .write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ")
                        .unwrap();
                    while stream.write_all(b"a").is_ok()
                        && begun.elapsed() < Duration::from_secs(20)
                    {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    begun.elapsed()
                })
            })
            .collect();
        assert_unharmed(&server.client, before);
        for one in loris {
            let cut_off = one.join().unwrap();
            assert!(cut_off < Duration::from_secs(12), "only after {cut_off:?}");
        }
    });
    println!("memory: {memory} MiB before, {} MiB", resident_mib(&server));
    assert!(resident_mib(&server) <= memory + 64);
    // They are all gone by now, too.
    for stream in idle {
        let (text, took) = rest(stream);
        assert!(text.is_empty() && took < Duration::from_secs(12), "{text}");
    }
    slow_bodies(&server);
    assert_unharmed(&server.client, before);
}

/// Bodies that do not come hold no place, and are refused in time.
fn slow_bodies(server: &Server) {
    let key = &server.key;
    let head = |method: &str, path: &str, kind: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: kura\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n\
             content-length: 1000\r\nconnection: close\r\n\r\n"
        )
    };
    let requests = [
        head("POST", "/api/v1/search", "application/json"),
        head("POST", "/api/v1/session", "application/json"),
        head(
            "PUT",
            "/api/v1/collections/handbook/documents/slow",
            "text/plain",
        ),
        head(
            "POST",
            "/api/v1/documents",
            "multipart/form-data; boundary=x",
        ),
    ];
    let slow: Vec<TcpStream> = requests
        .iter()
        .cycle()
        .take(40)
        .map(|head| {
            let mut stream = connect(server);
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(b"{").unwrap();
            stream
        })
        .collect();
    // None of them has a place: searches find one.
    assert_eq!(SEARCH.send(&server.client, 0).status, 200);
    for stream in slow {
        let (text, took) = rest(stream);
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(text.contains("\"code\":\"request_timeout\""), "{text}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn idle_connections_make_room_for_others() {
    let (_kura, server) = serve(&[("KURA__SERVER__MAX_CONNECTIONS", "50")]);
    let idle: Vec<TcpStream> = (0..200).map(|_| connect(&server)).collect();
    for n in 0..20 {
        // A connection each.
        let client = Client::new(server.client.url(), Some(&server.key));
        assert_eq!(SEARCH.send(&client, n).status, 200);
    }
    let metrics = String::from_utf8(server.client.get("/metrics").body).unwrap();
    let evicted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("kura_connections_evicted_total "))
        .unwrap();
    assert!(evicted.parse::<u64>().unwrap() >= 150, "{evicted}");
    drop(idle);
}
