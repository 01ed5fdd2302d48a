use super::*;
use secrecy::ExposeSecret as _;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;
use totp_rs::{Builder, Secret};

const PASSWORD: &str = "correct horse battery";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const LIFETIMES: Lifetimes = Lifetimes {
    idle: HOUR,
    max: SignedDuration::from_hours(3),
};

fn open() -> (tempfile::TempDir, Identity) {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::open(dir.path()).unwrap();
    (dir, identity)
}

fn person(name: &str) -> NewUser {
    NewUser {
        kind: UserKind::Person,
        name: name.to_owned(),
        display_name: None,
        email: None,
        role: Role::Reader,
        password: Some(Password::new(PASSWORD)),
        subject: None,
        groups: Vec::new(),
    }
}

fn service(name: &str) -> NewUser {
    NewUser {
        kind: UserKind::Service,
        password: None,
        ..person(name)
    }
}

async fn sign_in(identity: &Identity, name: &str, password: &str, code: Option<&str>) -> SignedIn {
    let code = code.map(str::to_owned);
    let password = Password::new(password);
    identity
        .sign_in(name, password, code, "Browser/1.0", LIFETIMES)
        .await
        .unwrap()
}

async fn token(identity: &Identity, name: &str) -> SecretString {
    match sign_in(identity, name, PASSWORD, None).await {
        SignedIn::Session { token, .. } => token,
        other @ (SignedIn::Refused(_) | SignedIn::CodeRequired(_)) => panic!("{other:?}"),
    }
}

async fn holds(identity: &Identity, token: &SecretString, now: Timestamp) -> bool {
    let found = identity
        .session(token.expose_secret(), LIFETIMES, now)
        .await;
    found.unwrap().is_some()
}

#[tokio::test]
async fn the_file_is_private_and_has_no_secret_in_the_clear() {
    let (dir, identity) = open();
    let user = identity.add_user(person("taro")).await.unwrap();
    let token = token(&identity, "taro").await;
    let new = NewApiKey {
        user: user.id,
        name: "script".to_owned(),
        role: None,
        collections: None,
        requests_per_minute: None,
        tokens_per_day: None,
        expires_at: None,
    };
    let (_, key) = identity.add_key(new).await.unwrap();
    let secrets = [PASSWORD, token.expose_secret(), key.expose_secret()];
    let mut n_files = 0;
    for entry in fs_err::read_dir(dir.path().join("auth")).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        let bytes = fs_err::read(&path).unwrap();
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{} is in {}", secret, path.display());
        }
        n_files += 1;
    }
    assert!(n_files >= 1);
    let mode = fs_err::metadata(dir.path().join("auth"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn names_are_taken_once_and_never_given_away_again() {
    let (_dir, identity) = open();
    let user = identity.add_user(person("Taro")).await.unwrap();
    assert_eq!(
        (user.name.as_str(), user.display_name.as_str()),
        ("taro", "taro")
    );
    let again = identity.add_user(service("ＴＡＲＯ")).await;
    assert!(matches!(again, Err(Error::UserExists(_))), "{again:?}");
    identity.delete_user(user.id).await.unwrap();
    assert!(matches!(
        identity.user(user.id).await,
        Err(Error::UnknownUser(_))
    ));
    let again = identity.add_user(person("taro")).await;
    assert!(matches!(again, Err(Error::NameRetired(_))), "{again:?}");
}

#[tokio::test]
async fn people_have_passwords_and_services_have_none() {
    let (_dir, identity) = open();
    let without = NewUser {
        password: None,
        ..person("taro")
    };
    assert!(matches!(
        identity.add_user(without).await,
        Err(Error::Invalid(_))
    ));
    let weak = NewUser {
        password: Some(Password::new("taro")),
        ..person("taro")
    };
    assert!(matches!(
        identity.add_user(weak).await,
        Err(Error::Invalid(_))
    ));
    let with = NewUser {
        password: Some(Password::new(PASSWORD)),
        ..service("robot")
    };
    assert!(matches!(
        identity.add_user(with).await,
        Err(Error::Invalid(_))
    ));
    let robot = identity.add_user(service("robot")).await.unwrap();
    let change = UserChange {
        password: Some(Password::new(PASSWORD)),
        ..UserChange::default()
    };
    let changed = identity.change_user(robot.id, change, None).await;
    assert!(matches!(changed, Err(Error::Invalid(_))), "{changed:?}");
    assert!(matches!(
        sign_in(&identity, "robot", "", None).await,
        SignedIn::Refused(Some(_))
    ));
}

#[tokio::test]
async fn sessions_end_when_idle_and_in_any_case() {
    let (_dir, identity) = open();
    identity.add_user(person("taro")).await.unwrap();
    let token = token(&identity, "TARO").await;
    let start = Timestamp::now();
    assert!(!holds(&identity, &"x".to_owned().into(), start).await);
    assert!(holds(&identity, &token, start + HOUR - Duration::from_secs(10)).await);
    // Use has put the idle end off, up to the end in any case.
    assert!(
        holds(
            &identity,
            &token,
            start + HOUR * 2 - Duration::from_secs(30)
        )
        .await
    );
    assert!(
        holds(
            &identity,
            &token,
            start + HOUR * 3 - Duration::from_secs(60)
        )
        .await
    );
    assert!(!holds(&identity, &token, start + HOUR * 3).await);
}

#[tokio::test]
async fn sessions_end_idle() {
    let (_dir, identity) = open();
    identity.add_user(person("taro")).await.unwrap();
    let token = token(&identity, "taro").await;
    assert!(!holds(&identity, &token, Timestamp::now() + HOUR).await);
}

#[tokio::test]
async fn changes_of_a_user_end_the_sessions() {
    let (_dir, identity) = open();
    let user = identity.add_user(person("taro")).await.unwrap();
    let now = Timestamp::now();
    for (change, ends) in [
        (
            UserChange {
                display_name: Some("Taro".to_owned()),
                ..UserChange::default()
            },
            false,
        ),
        (
            UserChange {
                role: Some(Role::Reader),
                ..UserChange::default()
            },
            false,
        ),
        (
            UserChange {
                role: Some(Role::Editor),
                ..UserChange::default()
            },
            true,
        ),
        (
            UserChange {
                password: Some(Password::new(PASSWORD)),
                ..UserChange::default()
            },
            true,
        ),
        (
            UserChange {
                active: Some(false),
                ..UserChange::default()
            },
            true,
        ),
    ] {
        let token = token(&identity, "taro").await;
        assert!(holds(&identity, &token, now).await);
        identity
            .change_user(user.id, change.clone(), None)
            .await
            .unwrap();
        assert_eq!(holds(&identity, &token, now).await, !ends, "{change:?}");
    }
    assert!(matches!(
        sign_in(&identity, "taro", PASSWORD, None).await,
        SignedIn::Refused(Some(_))
    ));
}

#[tokio::test]
async fn the_session_that_changes_the_password_stays() {
    let (_dir, identity) = open();
    let user = identity.add_user(person("taro")).await.unwrap();
    let (own, other) = (
        token(&identity, "taro").await,
        token(&identity, "taro").await,
    );
    let now = Timestamp::now();
    let (session, _) = identity
        .session(own.expose_secret(), LIFETIMES, now)
        .await
        .unwrap()
        .unwrap();
    let change = UserChange {
        password: Some(Password::new("another password entirely")),
        ..UserChange::default()
    };
    identity
        .change_user(user.id, change, Some(session.id))
        .await
        .unwrap();
    assert!(holds(&identity, &own, now).await);
    assert!(!holds(&identity, &other, now).await);
    assert!(matches!(
        sign_in(&identity, "taro", PASSWORD, None).await,
        SignedIn::Refused(Some(_))
    ));
}

#[tokio::test]
async fn keys_hold_until_revoked_expired_or_rotated() {
    let (_dir, identity) = open();
    let user = identity.add_user(service("robot")).await.unwrap();
    let now = Timestamp::now();
    let new = NewApiKey {
        user: user.id,
        name: "script".to_owned(),
        role: Some(Role::Reader),
        collections: Some(vec!["docs".to_owned()]),
        requests_per_minute: NonZeroU32::new(60),
        tokens_per_day: NonZeroU64::new(1_000),
        expires_at: Some(now + HOUR),
    };
    let (key, secret) = identity.add_key(new.clone()).await.unwrap();
    assert!(secret.expose_secret().starts_with(&key.prefix) && key.prefix.len() == 10);
    let uses = async |secret: &SecretString, now| {
        let found = identity
            .key_in_use(secret.expose_secret(), now)
            .await
            .unwrap();
        found.map(|(key, _)| key)
    };
    assert_eq!(
        uses(&secret, now).await.unwrap().collections,
        new.collections
    );
    // Written down once a minute.
    assert_eq!(identity.key(key.id).await.unwrap().last_used_at, Some(now));
    uses(&secret, now + Duration::from_secs(59)).await.unwrap();
    assert_eq!(identity.key(key.id).await.unwrap().last_used_at, Some(now));
    let later = now + Duration::from_secs(60);
    uses(&secret, later).await.unwrap();
    assert_eq!(
        identity.key(key.id).await.unwrap().last_used_at,
        Some(later)
    );
    assert!(uses(&secret, now + HOUR).await.is_none());

    let (rotated, next) = identity.rotate_key(key.id).await.unwrap();
    assert_eq!((rotated.id, rotated.expires_at), (key.id, key.expires_at));
    assert!(uses(&secret, now).await.is_none());
    assert!(uses(&next, now).await.is_some());

    let change = |active| UserChange {
        active: Some(active),
        ..UserChange::default()
    };
    identity
        .change_user(user.id, change(false), None)
        .await
        .unwrap();
    assert!(uses(&next, now).await.is_none());
    identity
        .change_user(user.id, change(true), None)
        .await
        .unwrap();
    assert!(uses(&next, now).await.is_some());

    identity.revoke_key(key.id).await.unwrap();
    assert!(uses(&next, now).await.is_none());
    assert!(matches!(
        identity.rotate_key(key.id).await,
        Err(Error::Invalid(_))
    ));
    for bad in [
        NewApiKey {
            name: " ".to_owned(),
            ..new.clone()
        },
        NewApiKey {
            expires_at: Some(now),
            ..new.clone()
        },
        NewApiKey {
            collections: Some(Vec::new()),
            ..new.clone()
        },
        NewApiKey {
            tokens_per_day: NonZeroU64::new(u64::MAX),
            ..new.clone()
        },
    ] {
        assert!(matches!(
            identity.add_key(bad).await,
            Err(Error::Invalid(_))
        ));
    }
}

#[tokio::test]
async fn groups_have_the_members_that_they_were_given() {
    let (_dir, identity) = open();
    let taro = identity.add_user(person("taro")).await.unwrap();
    identity.add_user(service("robot")).await.unwrap();
    identity.add_group("HR", "people").await.unwrap();
    assert!(matches!(
        identity.add_group("hr", "").await,
        Err(Error::GroupExists(_))
    ));
    let users = vec![taro.id.to_string(), "ROBOT".to_owned(), "taro".to_owned()];
    let group = identity.set_members("hr", users).await.unwrap();
    let names: Vec<&str> = group
        .members
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!((group.name.as_str(), names), ("HR", vec!["robot", "taro"]));
    assert_eq!(identity.user(taro.id).await.unwrap().groups, ["HR"]);
    // A name that is not known changes nothing.
    let failed = identity.set_members("HR", vec!["nobody".to_owned()]).await;
    assert!(matches!(failed, Err(Error::UnknownUser(_))));
    assert_eq!(identity.group("HR").await.unwrap().members.len(), 2);
    let missing = NewUser {
        groups: vec!["none".to_owned()],
        ..service("other")
    };
    assert!(matches!(
        identity.add_user(missing).await,
        Err(Error::UnknownGroup(_))
    ));
    assert!(identity.user_named("other").await.is_err());
    identity.delete_group("HR").await.unwrap();
    assert_eq!(
        identity.user(taro.id).await.unwrap().groups,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_its_codes_are_good_once() {
    let (_dir, identity) = open();
    let user = identity.add_user(person("taro")).await.unwrap();
    let enrollment = identity.enroll_totp(user.id).await.unwrap();
    assert!(
        enrollment
            .url
            .expose_secret()
            .starts_with("otpauth://totp/kura:taro?")
    );
    // Not confirmed yet, so not asked for.
    assert!(matches!(
        sign_in(&identity, "taro", PASSWORD, None).await,
        SignedIn::Session { .. }
    ));
    let app = Builder::new()
        .with_secret(Secret::try_from_base32(enrollment.secret.expose_secret()).unwrap())
        .build()
        .unwrap();
    let seconds = u64::try_from(Timestamp::now().as_second()).unwrap();
    let code = |offset: u64| app.generate(seconds - 30 + offset).to_string();
    assert!(identity.confirm_totp(user.id, "000").await.is_err());
    let recovery = identity.confirm_totp(user.id, &code(0)).await.unwrap();
    assert_eq!(recovery.len(), 10);
    assert!(identity.user(user.id).await.unwrap().has_totp);
    assert!(identity.enroll_totp(user.id).await.is_err());

    let outcome =
        async |password: &str, code: Option<&str>| match sign_in(&identity, "taro", password, code)
            .await
        {
            SignedIn::Session { .. } => "in",
            SignedIn::Refused(_) => "refused",
            SignedIn::CodeRequired(_) => "code",
        };
    assert_eq!(outcome(PASSWORD, None).await, "code");
    assert_eq!(outcome(PASSWORD, Some(" ")).await, "code");
    // A wrong password does not tell that a code would be needed.
    assert_eq!(outcome("wrong", None).await, "refused");
    // The code that confirmed is used up, the next one is good once.
    assert_eq!(outcome(PASSWORD, Some(&code(0))).await, "refused");
    assert_eq!(outcome(PASSWORD, Some(&code(30))).await, "in");
    assert_eq!(outcome(PASSWORD, Some(&code(30))).await, "refused");
    let lost = recovery[3].expose_secret().to_uppercase();
    assert_eq!(outcome(PASSWORD, Some(&lost)).await, "in");
    assert_eq!(outcome(PASSWORD, Some(&lost)).await, "refused");
    identity.remove_totp(user.id).await.unwrap();
    assert_eq!(outcome(PASSWORD, None).await, "in");
}

fn arrival(subject: &str, role: Role, own_groups: &[&str]) -> Arrival {
    Arrival {
        issuer: "https://login.example.com".to_owned(),
        subject: subject.to_owned(),
        login: Some("Taro".to_owned()),
        display_name: None,
        email: Some("no address".to_owned()),
        role,
        mapped_groups: Vec::new(),
        own_groups: own_groups.iter().map(|name| (*name).to_owned()).collect(),
        sid: Some("s".to_owned()),
        id_token: Some("token".to_owned()),
        create: true,
    }
}

#[tokio::test]
async fn a_file_from_before_single_sign_on_keeps_its_people_and_members() {
    let dir = tempfile::tempdir().unwrap();
    let file = identity_file(dir.path());
    create_private(&file).unwrap();
    let mut old = Connection::open(&file).unwrap();
    Migrations::from_slice(&MIGRATIONS[..1])
        .to_latest(&mut old)
        .unwrap();
    old.execute_batch(
        "INSERT INTO users (id, kind, name, display_name, role, active, created_at, updated_at)
         VALUES ('0197a000-0000-7000-8000-000000000000', 'person', 'hanako', 'Hanako', 'editor', 1,
                 '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z');
         INSERT INTO groups (name, folded, description, created_at) VALUES ('hr', 'hr', '', '2026-01-01T00:00:00Z');
         INSERT INTO memberships (user, group_name) VALUES ('0197a000-0000-7000-8000-000000000000', 'hr');",
    )
    .unwrap();
    drop(old);
    let identity = Identity::open(dir.path()).unwrap();
    let hanako = identity.user_named("hanako").await.unwrap();
    assert_eq!(
        (hanako.source.as_str(), hanako.groups),
        ("local", vec!["hr".to_owned()])
    );
    let found = identity.group("hr").await.unwrap();
    assert_eq!(found.source, "local");
    assert_eq!(found.members.len(), 1);
}

#[tokio::test]
async fn what_is_kept_of_a_providers_session_goes_with_it() {
    let (_dir, identity) = open();
    let arrive = async || {
        let arrival = arrival("1", Role::Reader, &["sso-a"]);
        match identity.arrive(arrival, "Browser/1.0", LIFETIMES).await {
            Ok(Arrived::Session { session, user, .. }) => (session, user),
            other => panic!("{other:?}"),
        }
    };
    let (session, user) = arrive().await;
    // What cannot be an address is left out.
    assert_eq!((user.email, user.groups), (None, vec!["sso-a".to_owned()]));
    let kept = identity.provider_of_session(session.id).await.unwrap();
    let issuer = "https://login.example.com".to_owned();
    assert_eq!(kept, Some((issuer.clone(), Some("token".to_owned()))));
    identity.revoke_session(session.id).await.unwrap();
    let kept = identity.provider_of_session(session.id).await.unwrap();
    assert_eq!(kept, Some((issuer.clone(), None)));

    // An order is good once, also where it ends nothing, and is remembered as long as it could be sent again.
    let (session, user) = arrive().await;
    let order = Ending {
        issuer,
        jti: "1".to_owned(),
        keep_until: Timestamp::now() + HOUR,
        subject: Some("1".to_owned()),
        sid: Some("another".to_owned()),
    };
    let ended = identity.end_by_provider(order.clone()).await.unwrap();
    assert_eq!(ended, Some((Some(user.id), 0)));
    let again = Ending {
        sid: None,
        ..order.clone()
    };
    assert_eq!(identity.end_by_provider(again).await.unwrap(), None);
    assert!(identity.session_owner(session.id).await.is_ok());
    let next = Ending {
        jti: "2".to_owned(),
        sid: None,
        ..order
    };
    let ended = identity.end_by_provider(next).await.unwrap();
    assert_eq!(ended, Some((Some(user.id), 1)));
    assert!(identity.session_owner(session.id).await.is_err());
}

#[tokio::test]
async fn what_users_and_keys_spend_counts_for_a_day() {
    let (_dir, identity) = open();
    let user = identity.add_user(service("robot")).await.unwrap().id;
    let new = NewApiKey {
        user,
        name: "script".to_owned(),
        role: None,
        collections: None,
        requests_per_minute: None,
        tokens_per_day: None,
        expires_at: None,
    };
    let key = identity.add_key(new).await.unwrap().0.id;
    let spend = async |key, tokens, at| {
        let spent = Spent { user, key, tokens };
        identity.spend(vec![spent], at).await.unwrap();
    };
    let today = async || {
        let of_user = identity.user(user).await.unwrap().tokens_today;
        (of_user, identity.key(key).await.unwrap().tokens_today)
    };
    let now = Timestamp::now();
    spend(Some(key), 700, now - HOUR * 24).await;
    assert_eq!(today().await, (0, 0));
    spend(Some(key), 100, now).await;
    spend(None, 20, now).await;
    assert_eq!(today().await, (120, 100));
}
