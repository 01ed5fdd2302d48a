//! One IMAP connection: a command, and its answer to the end.
//!
//! An answer counts only when the server has said that it is whole: what a listing lacks is deleted. Lines and literals are
//! taken apart here, within bounds, before the grammar sees them; so nothing of what a server sends is read twice, and no
//! server can make it nest without end.

use super::names::quoted;
use super::wire::{SILENCE, Wire, explain};
use crate::sync::place::Encryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use imap_proto::{Capability, Outcome, RequestId, Response, Status};
use kura_egress::Egress;
use std::collections::{HashSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

/// Longest line, literals aside.
pub(super) const LINE: u64 = 1 << 20;
/// Deepest nesting of lists in an answer: what is asked for needs three.
const DEPTH: usize = 16;
/// Longest text of the server that is shown.
const SHOWN: usize = 300;

/// How large and how long an answer may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of each response, of which an answer may have many.
    pub(super) bytes: u64,
    /// Time until the whole answer is there.
    pub(super) time: Duration,
}

impl Bounds {
    /// Of an answer that takes no time.
    pub(super) const SHORT: Self = Self {
        bytes: LINE,
        time: Duration::from_secs(120),
    };
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server says no, and why. The connection can be used further.
    Refused(String),
    /// The answer is larger than what is taken. The connection cannot be used any more.
    TooLarge,
    /// The connection cannot be used any more.
    Broken(String),
}

/// What shows who asks.
pub(super) enum Secret {
    Password(String),
    /// OAuth 2.0 access token.
    Token(String),
}

/// Where a server is.
pub(super) struct Server<'a> {
    /// Where connections may lead.
    pub(super) egress: &'a Egress,
    /// A name, or an address without brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
}

/// A connection on which someone is signed in.
pub(super) struct Connection {
    reader: BufReader<Wire>,
    n_commands: u64,
    /// In upper case, such as `AUTH=PLAIN`.
    capabilities: HashSet<String>,
}

impl Connection {
    /// Connects and signs in.
    pub(super) fn open(server: &Server<'_>, user: &str, secret: &Secret) -> Result<Self, String> {
        let host = server.host;
        let wire = Wire::connect(server.egress, host, server.port, server.encryption)?;
        let mut connection = Self::new(wire);
        let is_known = connection.greeted().map_err(Trouble::text)?;
        if server.encryption == Encryption::Starttls {
            // A server that knows the user already, before anything is encrypted, is not the one meant.
            if is_known {
                return Err(format!("`{host}` does not begin as STARTTLS needs it"));
            }
            connection = connection.starttls(host)?;
        }
        connection.ask_capabilities().map_err(Trouble::text)?;
        if !is_known {
            connection.sign_in(host, user, secret)?;
            // There may be more now.
            connection.ask_capabilities().map_err(Trouble::text)?;
        }
        Ok(connection)
    }

    fn new(wire: Wire) -> Self {
        Self {
            reader: BufReader::with_capacity(32 << 10, wire),
            n_commands: 0,
            capabilities: HashSet::new(),
        }
    }

    /// Returns whether the server can do this; `name` is in upper case.
    pub(super) fn can(&self, name: &str) -> bool {
        self.capabilities.contains(name)
    }

    /// Sends a command, and gives every response that belongs to its answer, or came in between, to `each`.
    ///
    /// # Errors
    /// When the server does not say in the end that all is well. An error of `each` must be [`Trouble::Broken`].
    pub(super) fn command(
        &mut self,
        text: &str,
        bounds: Bounds,
        each: &mut dyn FnMut(Response<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.exchange(text, VecDeque::new(), bounds, each)
    }

    /// The same, with what the server is told when it asks to go on.
    fn exchange(
        &mut self,
        text: &str,
        mut replies: VecDeque<String>,
        bounds: Bounds,
        each: &mut dyn FnMut(Response<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.n_commands += 1;
        let tag = RequestId(format!("k{}", self.n_commands));
        self.send(&format!("{} {text}", tag.0))?;
        self.reader.get_mut().allow(bounds.time);
        loop {
            let bytes = self.response(bounds.bytes)?;
            match parse(&bytes)? {
                None => {}
                Some(Response::Done {
                    tag: of,
                    status,
                    outcome,
                }) if of == tag => {
                    let is_ok = status == Status::Ok;
                    return if is_ok {
                        Ok(())
                    } else {
                        Err(Trouble::Refused(said(&outcome)))
                    };
                }
                Some(Response::Data {
                    status: Status::Bye,
                    outcome,
                }) => return Err(ended(&outcome)),
                Some(Response::Continue(_)) => {
                    let Some(reply) = replies.pop_front() else {
                        let cause = "the server waits for more than the command";
                        return Err(Trouble::Broken(cause.to_owned()));
                    };
                    self.send(&reply)?;
                    self.reader.get_mut().allow(bounds.time);
                }
                Some(response) => each(response)?,
            }
        }
    }

    /// Reads the greeting; returns whether the server knows who is there.
    fn greeted(&mut self) -> Result<bool, Trouble> {
        self.reader.get_mut().allow(SILENCE);
        let bytes = self.response(LINE)?;
        match parse(&bytes)? {
            Some(Response::Data {
                status: Status::Ok, ..
            }) => Ok(false),
            Some(Response::Data {
                status: Status::PreAuth,
                ..
            }) => Ok(true),
            Some(Response::Data { outcome, .. }) => Err(ended(&outcome)),
            Some(_) | None => Err(strange(&bytes)),
        }
    }

    fn starttls(mut self, host: &str) -> Result<Self, String> {
        let begun = self.command("STARTTLS", Bounds::SHORT, &mut |_| Ok(()));
        begun.map_err(|trouble| match trouble {
            Trouble::Refused(said) => format!("`{host}` does not offer STARTTLS: {said}"),
            Trouble::TooLarge | Trouble::Broken(_) => trouble.text(),
        })?;
        // What was sent before TLS must not count as said within it.
        if !self.reader.buffer().is_empty() {
            return Err(format!("`{host}` says more before TLS than it may"));
        }
        Ok(Self::new(self.reader.into_inner().secured(host)?))
    }

    fn ask_capabilities(&mut self) -> Result<(), Trouble> {
        let mut found = HashSet::new();
        self.command("CAPABILITY", Bounds::SHORT, &mut |response| {
            if let Response::Capabilities(all) = response {
                found.extend(all.iter().map(capability));
            }
            Ok(())
        })?;
        self.capabilities = found;
        Ok(())
    }

    fn sign_in(&mut self, host: &str, user: &str, secret: &Secret) -> Result<(), String> {
        let signed_in = match secret {
            Secret::Password(password) if self.can("AUTH=PLAIN") => {
                self.authenticate("PLAIN", &format!("\0{user}\0{password}"), "*")
            }
            Secret::Password(_) if self.can("LOGINDISABLED") => {
                return Err(format!(
                    "`{host}` takes no password on this connection; use TLS"
                ));
            }
            Secret::Password(password) => {
                let (Some(user), Some(password)) = (quoted(user), quoted(password)) else {
                    return Err("the user or the password has control characters".to_owned());
                };
                let login = format!("LOGIN {user} {password}");
                self.command(&login, Bounds::SHORT, &mut |_| Ok(()))
            }
            Secret::Token(token) if self.can("AUTH=OAUTHBEARER") => {
                self.authenticate("OAUTHBEARER", &bearer(host, user, token), "AQ==")
            }
            Secret::Token(token) if self.can("AUTH=XOAUTH2") => {
                let response = format!("user={user}\x01auth=Bearer {token}\x01\x01");
                self.authenticate("XOAUTH2", &response, "")
            }
            Secret::Token(_) => {
                return Err(format!(
                    "`{host}` takes no access tokens (neither OAUTHBEARER nor XOAUTH2); use a password"
                ));
            }
        };
        signed_in.map_err(|trouble| match trouble {
            Trouble::Refused(said) => format!(
                "`{host}` does not let `{user}` in: {said}. Are the user and what the file holds right?"
            ),
            Trouble::TooLarge | Trouble::Broken(_) => trouble.text(),
        })
    }

    /// Signs in by SASL. `last` is the answer to a server that says why it refuses.
    fn authenticate(&mut self, mechanism: &str, response: &str, last: &str) -> Result<(), Trouble> {
        let response = BASE64.encode(response);
        let (command, mut replies) = if self.can("SASL-IR") {
            (
                format!("AUTHENTICATE {mechanism} {response}"),
                VecDeque::new(),
            )
        } else {
            (
                format!("AUTHENTICATE {mechanism}"),
                VecDeque::from([response]),
            )
        };
        replies.push_back(last.to_owned());
        self.exchange(&command, replies, Bounds::SHORT, &mut |_| Ok(()))
    }

    fn send(&mut self, line: &str) -> Result<(), Trouble> {
        let wire = self.reader.get_mut();
        wire.allow(SILENCE);
        let sent = wire.write_all(format!("{line}\r\n").as_bytes());
        sent.and_then(|()| wire.flush())
            .map_err(|error| broken(&error))
    }

    /// Reads a response: a line, and where it announces a literal, that and the next line.
    fn response(&mut self, max_bytes: u64) -> Result<Vec<u8>, Trouble> {
        let (mut bytes, mut depth) = (Vec::new(), 0_usize);
        loop {
            let begin = bytes.len();
            let mut line = (&mut self.reader).take(LINE);
            line.read_until(b'\n', &mut bytes)
                .map_err(|error| broken(&error))?;
            let is_full = line.limit() == 0;
            let Some(end) = bytes[begin..].strip_suffix(b"\r\n") else {
                return Err(if is_full { Trouble::TooLarge } else { gone() });
            };
            if begin == 0 && is_status(end) {
                return Ok(bytes);
            }
            depth = nested(end, depth)?;
            let Some(n_bytes) = literal(end) else {
                return Ok(bytes);
            };
            if n_bytes.saturating_add(bytes.len() as u64) > max_bytes {
                return Err(Trouble::TooLarge);
            }
            let read = (&mut self.reader)
                .take(n_bytes)
                .read_to_end(&mut bytes)
                .map_err(|error| broken(&error))?;
            if read as u64 != n_bytes {
                return Err(gone());
            }
        }
    }
}

impl Trouble {
    /// Returns it for people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Refused(cause) | Self::Broken(cause) => cause,
            Self::TooLarge => "an answer of the server is too large".to_owned(),
        }
    }
}

/// Reads a response; `None` for those that are not known and say nothing about messages or folders.
fn parse(bytes: &[u8]) -> Result<Option<Response<'_>>, Trouble> {
    if let Ok((_, response)) = Response::parse(bytes) {
        return Ok(Some(response));
    }
    let mut words = bytes.split(|byte| matches!(byte, b' ' | b'\r'));
    let (first, second) = (words.next(), words.next().unwrap_or_default());
    let is_other = first == Some(b"*".as_slice())
        && second.first().is_some_and(u8::is_ascii_alphabetic)
        && !second.eq_ignore_ascii_case(b"LIST");
    if is_other {
        Ok(None)
    } else {
        Err(strange(bytes))
    }
}

/// Returns how many bytes follow a line.
fn literal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"}")?;
    let begin = line.iter().rposition(|byte| *byte == b'{')?;
    let digits = &line[begin + 1..];
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

/// Returns whether a response ends with text for people, which announces nothing and may have any brackets.
fn is_status(line: &[u8]) -> bool {
    const STATUSES: [&[u8]; 5] = [b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"];
    let mut words = line.split(|byte| *byte == b' ');
    let is_continued = words.next().is_some_and(|word| word.starts_with(b"+"));
    let second = words.next().unwrap_or_default();
    is_continued
        || STATUSES
            .iter()
            .any(|status| second.eq_ignore_ascii_case(status))
}

/// Returns how deep lists are nested after a line. The grammar is read by recursion, so that must have an end.
fn nested(line: &[u8], mut depth: usize) -> Result<usize, Trouble> {
    for byte in line {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(strange(line));
        }
    }
    Ok(depth)
}

fn capability(capability: &Capability<'_>) -> String {
    let name = match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={mechanism}"),
        Capability::Atom(name) => name.to_string(),
    };
    name.to_ascii_uppercase()
}

/// Returns the SASL response of OAUTHBEARER (RFC 7628).
fn bearer(host: &str, user: &str, token: &str) -> String {
    let user = user.replace('=', "=3D").replace(',', "=2C");
    format!("n,a={user},\x01host={host}\x01auth=Bearer {token}\x01\x01")
}

/// Returns what the server says, within bounds.
fn said(outcome: &Outcome<'_>) -> String {
    match outcome.information.as_deref().map(str::trim) {
        None | Some("") => "it does not say why".to_owned(),
        Some(text) => shown(text),
    }
}

fn shown(text: &str) -> String {
    let text = text.chars().filter(|c| !c.is_control()).take(SHOWN);
    text.collect()
}

fn ended(outcome: &Outcome<'_>) -> Trouble {
    Trouble::Broken(format!(
        "the server ended the connection: {}",
        said(outcome)
    ))
}

fn gone() -> Trouble {
    broken(&std::io::ErrorKind::UnexpectedEof.into())
}

fn broken(error: &std::io::Error) -> Trouble {
    Trouble::Broken(explain(error))
}

fn strange(bytes: &[u8]) -> Trouble {
    let begin = &bytes[..bytes.len().min(SHOWN)];
    let text = shown(&String::from_utf8_lossy(begin));
    Trouble::Broken(format!("what the server says is not understood: `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// A server that greets, then gives one answer to each line, ends, and returns the lines.
    fn server(answers: &'static [&'static str]) -> (u16, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut heard = Vec::new();
            for (n, answer) in answers.iter().enumerate() {
                if n > 0 {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    heard.push(line.trim_end().to_owned());
                }
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            heard
        });
        (port, served)
    }

    fn open(port: u16, secret: &Secret) -> Result<Connection, String> {
        let server = Server {
            egress: &Egress::offline(),
            host: "127.0.0.1",
            port,
            encryption: Encryption::None,
        };
        Connection::open(&server, "me", secret)
    }

    const GREETING: &str = "* OK ready\r\n";
    const PLAIN: &str = "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nk1 OK\r\n";

    #[test]
    fn signs_in_and_reads_answers_to_their_end() {
        let (port, served) = server(&[
            GREETING,
            PLAIN,
            "+ \r\n",
            "k2 OK\r\n",
            "* CAPABILITY IMAP4rev1 CONDSTORE\r\nk3 OK\r\n",
            "* XNEW (1 2)\r\n* LIST () \"/\" {5}\r\na\"b c\r\n* OK look {9}\r\nk4 OK done\r\n",
            "* LIST () \"/\" A\r\nk5 NO not all of it\r\n",
        ]);
        let mut connection = open(port, &Secret::Password("secret".to_owned())).unwrap();
        assert!(connection.can("CONDSTORE") && !connection.can("AUTH=PLAIN"));
        let mut names = Vec::new();
        let mut list = |connection: &mut Connection| {
            connection.command("LIST \"\" \"*\"", Bounds::SHORT, &mut |response| {
                if let Response::MailboxData(imap_proto::MailboxDatum::List(list)) = response {
                    names.push(list.name.into_owned());
                }
                Ok(())
            })
        };
        list(&mut connection).unwrap();
        let refused = list(&mut connection);
        assert!(matches!(refused, Err(Trouble::Refused(said)) if said == "not all of it"));
        // It ends in the middle of an answer.
        assert!(matches!(list(&mut connection), Err(Trouble::Broken(_))));
        assert_eq!(names, ["a\"b c", "A"]);
        let heard = served.join().unwrap();
        assert_eq!(heard[1], "k2 AUTHENTICATE PLAIN");
        assert_eq!(BASE64.decode(&heard[2]).unwrap(), b"\0me\0secret");
    }

    #[test]
    fn what_a_server_may_not_send_ends_the_connection() {
        const DEEP: &str = "* 1 FETCH (BODYSTRUCTURE ((((((((((((((((((((((((\r\n";
        for (answer, expected) in [
            (DEEP, "not understood"),
            ("* 1 FETCH UID\r\nk4 OK\r\n", "not understood"),
            ("* 1 FETCH (BODY[] {9999999999}\r\n", "too large"),
            ("* BYE shutting down\r\n", "shutting down"),
            ("+ go on\r\n", "waits for more"),
            ("* 1 FETCH (UID 1)\r\n", "ended the connection"),
        ] {
            let answers: &'static [&'static str] =
                vec![GREETING, PLAIN, "+ \r\n", "k2 OK\r\n", "k3 OK\r\n", answer].leak();
            let (port, _served) = server(answers);
            let mut connection = open(port, &Secret::Password("secret".to_owned())).unwrap();
            let trouble = connection.command("NOOP", Bounds::SHORT, &mut |_| Ok(()));
            let text = trouble.unwrap_err().text();
            assert!(text.contains(expected), "{answer}: {text}");
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_why() {
        let (port, _served) = server(&[
            GREETING,
            "* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2\r\nk1 OK\r\n",
            "+ eyJzdGF0dXMiOiI0MDAifQ==\r\n",
            "k2 NO [AUTHENTICATIONFAILED] the token is too old\r\n",
        ]);
        let refused = open(port, &Secret::Token("t".to_owned())).err().unwrap();
        assert!(
            refused.contains("`me`") && refused.contains("too old"),
            "{refused}"
        );
        let (port, _served) = server(&[GREETING, PLAIN]);
        let refused = open(port, &Secret::Token("t".to_owned())).err().unwrap();
        assert!(refused.contains("takes no access tokens"), "{refused}");
        let (port, _served) = server(&["* BYE too many\r\n"]);
        let refused = open(port, &Secret::Token("t".to_owned())).err().unwrap();
        assert!(refused.contains("too many"), "{refused}");
        assert_eq!(
            bearer("h", "a,b=c", "t"),
            "n,a=a=2Cb=3Dc,\x01host=h\x01auth=Bearer t\x01\x01"
        );
    }
}
