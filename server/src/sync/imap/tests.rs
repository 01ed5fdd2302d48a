use super::*;
use crate::sync::place::Place;

fn mailbox() -> ImapMailbox {
    ImapMailbox {
        host: "mail.example.com".to_owned(),
        user: "support@example.com".to_owned(),
        password_file: Some("/run/secrets/mail".to_owned()),
        token_file: None,
        folders: super::super::place::folders(),
        since: None,
        encryption: Encryption::Tls,
    }
}

fn open(
    mailbox: ImapMailbox,
    exclude: &[String],
    known_root: Option<&str>,
) -> Result<Imap, Failure> {
    let settings = Settings {
        place: Place::Imap(mailbox.clone()),
        prefix: String::new(),
    };
    let globs = Globs::new(&[], exclude, false).unwrap();
    let egress = Egress::offline();
    Imap::open(mailbox, settings, globs, known_root, None, &egress, 1000)
}

fn folder(path: &str, is_special: bool) -> Folder {
    Folder {
        name: path.to_owned(),
        path: path.to_owned(),
        is_special,
    }
}

#[test]
fn a_message_is_named_after_its_folder_and_uid() {
    let imap = open(mailbox(), &[], None).unwrap();
    assert_eq!(
        (imap.0.host.as_str(), imap.0.port),
        ("mail.example.com", 993)
    );
    let inbox = Folder {
        name: "INBOX.R&AOk-union".to_owned(),
        path: "INBOX/Réunion".to_owned(),
        is_special: false,
    };
    let item = imap.0.item(&inbox, (17, 42), 9, "m".to_owned()).unwrap();
    assert_eq!(item.key, "INBOX.R&AOk-union;UIDVALIDITY=17;UID=42");
    assert_eq!(item.source, "INBOX/Réunion/17-42.eml");
    assert_eq!(
        item.link,
        "imap://support%40example.com@mail.example.com/INBOX/R%C3%A9union;UIDVALIDITY=17/;UID=42"
    );
    assert_eq!(parts(&item.key), Some(("INBOX.R&AOk-union", 17, 42)));
}

#[test]
fn servers_and_users_are_checked() {
    let host = |host: &str| ImapMailbox {
        host: host.to_owned(),
        ..mailbox()
    };
    let starttls = ImapMailbox {
        encryption: Encryption::Starttls,
        ..host("[::1]")
    };
    for (mailbox, name, port) in [
        (host("mail.example.com:1993"), "mail.example.com", 1993),
        (host("127.0.0.1"), "127.0.0.1", 993),
        (starttls, "::1", 143),
    ] {
        let imap = open(mailbox, &[], None).unwrap();
        assert_eq!((imap.0.host.as_str(), imap.0.port), (name, port));
    }
    for bad in [
        "",
        "imaps://mail.example.com",
        "me:secret@mail.example.com",
        "mail.example.com/INBOX",
        "mail.example.com:port",
        "mail example com",
    ] {
        let Err(Failure(cause)) = open(host(bad), &[], None) else {
            panic!("`{bad}` is taken for a server");
        };
        assert!(cause.contains("no mail server"), "{cause}");
    }
    let no_secret = ImapMailbox {
        password_file: None,
        ..mailbox()
    };
    let since = ImapMailbox {
        since: Some("yesterday".to_owned()),
        ..mailbox()
    };
    let user = ImapMailbox {
        user: "a\r\nb".to_owned(),
        ..mailbox()
    };
    for (bad, word) in [
        (no_secret, "password"),
        (since, "no day"),
        (user, "one line"),
    ] {
        let Err(Failure(cause)) = open(bad, &[], None) else {
            panic!("no error about {word}");
        };
        assert!(cause.contains(word), "{cause}");
    }
}

#[test]
fn folders_are_chosen_by_patterns_and_special_ones_by_name() {
    let folders = [
        folder("INBOX", false),
        folder("Projects", false),
        folder("Projects/Alpha", false),
        folder("Projects/Alpha/Old", false),
        folder("Trash", true),
        folder("[Mail]/All", true),
    ];
    let chosen = |patterns: &[&str], exclude: &[&str]| {
        let own = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|pattern| (*pattern).to_owned());
            patterns.collect::<Vec<_>>()
        };
        let mailbox = ImapMailbox {
            folders: own(patterns),
            ..mailbox()
        };
        let imap = open(mailbox, &own(exclude), None).unwrap();
        let chosen = imap.0.wanted(&folders).map_err(Trouble::text)?;
        Ok::<_, String>(
            chosen
                .iter()
                .map(|folder| folder.path.clone())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(chosen(&["inbox"], &[]).unwrap(), ["INBOX"]);
    assert_eq!(
        chosen(&["*"], &["Old"]).unwrap(),
        ["INBOX", "Projects", "Projects/Alpha"]
    );
    assert_eq!(
        chosen(&["Projects/**", "Trash", "[Mail]/All"], &[]).unwrap(),
        [
            "Projects/Alpha",
            "Projects/Alpha/Old",
            "Trash",
            "[Mail]/All"
        ]
    );
    let missing = chosen(&["INBOX", "Gone/*"], &[]).unwrap_err();
    assert!(
        missing.contains("`Gone/*`") && missing.contains("`INBOX`"),
        "{missing}"
    );
}

#[test]
fn old_messages_are_told_by_the_servers_day() {
    let since = ImapMailbox {
        since: Some("2024-07-07".to_owned()),
        ..mailbox()
    };
    let imap = open(since, &[], None).unwrap();
    for (came, is_recent) in [
        (" 7-Jul-2024 00:00:00 +0900", true),
        ("07-Jul-2024 23:59:59 -0100", true),
        ("06-Jul-2024 23:59:59 +0000", false),
        ("31-Dec-2025 10:00:00 +0000", true),
        // Rather too much than too little.
        ("", true),
    ] {
        assert_eq!(imap.0.is_recent(came), is_recent, "{came}");
    }
}

#[test]
fn what_was_noted_of_folders_is_read_back() {
    let state = State {
        uidvalidity: 17,
        n_messages: 3,
        uidnext: Some(9),
        modseq: Some(21),
    };
    let noted = Noted { state, n_items: 2 };
    let listed = Listed {
        uidvalidity: Some(17),
        folders: HashMap::from([(INBOX.to_owned(), noted)]),
    };
    let imap = open(mailbox(), &[], None).unwrap();
    *lock(&imap.0.listed) = Some(listed);
    let root = imap.0.root().unwrap().unwrap();
    assert_eq!(root.lines().next(), Some("INBOX;UIDVALIDITY=17;UID="));
    let again = open(mailbox(), &[], Some(&root)).unwrap();
    assert_eq!(again.0.before.get(INBOX), Some(&noted));
    assert!(
        open(mailbox(), &[], Some("INBOX;UIDVALIDITY=17;UID="))
            .unwrap()
            .0
            .before
            .is_empty()
    );
}
