//! Records in forms that other systems read.

use super::record::{Ending, Record};
use std::fmt::Write as _;

/// A form of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line, exactly as kept: hashes can be checked.
    Jsonl,
    /// The Common Event Format (CEF).
    Cef,
    /// Syslog (RFC 5424), with the record as its message.
    Syslog,
}

/// Returns a record in a form; `line` is the record as it is kept, `host` this machine's name.
#[must_use]
pub fn render(format: Format, record: &Record, line: &str, host: &str) -> String {
    match format {
        Format::Jsonl => line.to_owned(),
        Format::Cef => cef(record),
        Format::Syslog => syslog(record, line, host),
    }
}

/// Returns the name of this machine as syslog takes it.
#[must_use]
pub fn host_name() -> String {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = printable(name.trim(), 255);
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

fn cef(record: &Record) -> String {
    let severity = match record.outcome.result {
        Ending::Success => 3,
        Ending::Refused | Ending::CutOff => 5,
        Ending::Failed => 7,
    };
    let mut text = format!(
        "CEF:0|kura|kura|{}|{}|{}|{severity}|rt={} externalId={} outcome={}",
        cef_header(env!("CARGO_PKG_VERSION")),
        cef_header(&record.action),
        cef_header(&record.action.replace('.', " ")),
        record.at.as_millisecond(),
        record.seq,
        result(record),
    );
    let mut field = |name: &str, value: &str| {
        let _ = write!(text, " {name}={}", cef_value(value));
    };
    if let Some(principal) = &record.principal {
        let name = record.name.as_ref().unwrap_or(principal);
        field("suser", name);
        field("suid", principal);
    }
    if let Some(role) = &record.role {
        field("spriv", role);
    }
    if let Some(peer) = &record.peer {
        // `src` takes IPv4 only.
        if peer.contains(':') {
            field("c6a2Label", "Source IPv6 Address");
            field("c6a2", peer);
        } else {
            field("src", peer);
        }
    }
    if let Some(code) = &record.outcome.code {
        field("reason", code);
    }
    if let Some(status) = record.outcome.status {
        field("cn1Label", "HTTP status");
        field("cn1", &status.to_string());
    }
    field("cs1Label", "authentication");
    field("cs1", &record.authentication);
    if let Some(request) = &record.request {
        field("cs2Label", "request");
        field("cs2", request);
    }
    if !record.target.is_empty() {
        field("cs3Label", "target");
        field("cs3", &json(&record.target));
    }
    if !record.details.is_empty() {
        field("cs4Label", "details");
        field("cs4", &json(&record.details));
    }
    field("cs5Label", "hash");
    field("cs5", &record.hash);
    if let Some(credential) = &record.credential {
        field("cs6Label", "credential");
        field("cs6", credential);
    }
    text
}

fn syslog(record: &Record, line: &str, host: &str) -> String {
    /// Log audit.
    const FACILITY: u8 = 13;
    let severity = match record.outcome.result {
        Ending::Success => 6,
        Ending::Refused | Ending::CutOff => 5,
        Ending::Failed => 3,
    };
    let mut data = format!(
        "[kura@32473 seq=\"{}\" result=\"{}\"",
        record.seq,
        result(record)
    );
    for (name, value) in [
        ("principal", &record.principal),
        ("name", &record.name),
        ("role", &record.role),
        ("peer", &record.peer),
        ("request", &record.request),
    ] {
        if let Some(value) = value {
            let _ = write!(data, " {name}=\"{}\"", sd_value(value));
        }
    }
    format!(
        "<{}>1 {:.6} {host} kura - {} {data}] {line}",
        FACILITY * 8 + severity,
        record.at,
        printable(&record.action, 32),
    )
}

fn result(record: &Record) -> &'static str {
    match record.outcome.result {
        Ending::Success => "success",
        Ending::Refused => "refused",
        Ending::Failed => "failed",
        Ending::CutOff => "cut_off",
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// In a header `|` separates, and there are no line breaks.
fn cef_header(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('|', r"\|");
    text.replace(['\r', '\n'], " ")
}

/// In an extension `=` separates name and value.
fn cef_value(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('=', r"\=");
    text.replace('\r', r"\r").replace('\n', r"\n")
}

/// In structured data `"`, `\` and `]` are escaped; a line break would end the message.
fn sd_value(text: &str) -> String {
    text.replace(char::is_control, " ")
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace(']', r"\]")
}

/// Fields of a syslog header are printable ASCII without spaces.
fn printable(text: &str, limit: usize) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::super::record::{self, Draft, GENESIS, Outcome, Who};
    use super::*;
    use jiff::Timestamp;

    fn sample() -> (Record, String) {
        let mut draft = Draft::new(
            Who::new("eve|=\\\"]\nx", "api_key"),
            "document.read",
            Outcome::of_status(404, Some("unknown_document")),
        )
        .target("document", "a=b|c");
        draft.peer = Some("127.0.0.1".to_owned());
        let at: Timestamp = "2026-11-30T08:00:00.123456Z".parse().unwrap();
        let (line, _) = record::seal(&draft, 7, at, GENESIS, &Key::random()).unwrap();
        let line = line.trim_end().to_owned();
        (record::open(&line, None).unwrap(), line)
    }

    #[test]
    fn cef_escapes_what_separates() {
        let (record, line) = sample();
        let text = render(Format::Cef, &record, &line, "h");
        assert!(!text.contains('\n'), "{text}");
        let version = env!("CARGO_PKG_VERSION");
        assert!(
            text.starts_with(&format!(
                "CEF:0|kura|kura|{version}|document.read|document read|5|rt=1796025600123 externalId=7 outcome=refused "
            )),
            "{text}"
        );
        assert!(
            text.contains(
                r#" suser=eve|\=\\"]\nx suid=eve|\=\\"]\nx src=127.0.0.1 reason=unknown_document "#
            ),
            "{text}"
        );
        assert!(text.contains(r#" cs3={"document":"a\=b|c"} "#), "{text}");
        assert_eq!(cef_header("a|b\\c\nd=e"), r"a\|b\\c d=e");
    }

    #[test]
    fn syslog_lines_follow_the_standard() {
        let (record, line) = sample();
        let text = render(Format::Syslog, &record, &line, "host1");
        let start = r#"<109>1 2026-11-30T08:00:00.123456Z host1 kura - document.read [kura@32473 seq="7" result="refused" principal="eve|=\\\"\]"#;
        assert!(text.starts_with(start), "{text}");
        assert!(
            text.ends_with(&format!(" peer=\"127.0.0.1\"] {line}")),
            "{text}"
        );
        assert_eq!(render(Format::Jsonl, &record, &line, "-"), line);
    }

    #[test]
    fn a_host_name_has_no_spaces() {
        assert!(host_name().chars().all(|c| c.is_ascii_graphic()));
        assert_eq!(printable("a b\u{e9}c", 2), "ab");
    }
}
