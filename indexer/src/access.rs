//! Who may read what. Every read path takes an [`AccessFilter`]; an empty one finds nothing.

use crate::document::CollectionId;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest name of a group, in bytes.
const MAX_GROUP_BYTES: usize = 128;
/// Most groups that an ACL names on either side, and most members of a collection.
pub(crate) const MAX_GROUPS: usize = 100;

/// The collections a search or listing looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collections {
    /// Every collection.
    All,
    /// Only these; none of them finds nothing.
    Only(Vec<CollectionId>),
}

impl Collections {
    /// Returns whether a collection is one of these.
    #[must_use]
    pub fn contains(&self, collection: CollectionId) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only.contains(&collection),
        }
    }

    /// Returns the collections that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, both) | (both, Self::All) => both.clone(),
            (Self::Only(only), other @ Self::Only(_)) => {
                let both = only.iter().copied().filter(|id| other.contains(*id));
                Self::Only(both.collect())
            }
        }
    }
}

/// The name of a group of people. A single person is a group, too: `user:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub String);

impl GroupId {
    /// What the name of a person's own group begins with.
    pub const USER: &'static str = "user:";

    /// Returns the group of this name.
    ///
    /// # Errors
    /// [`Error::InvalidAccess`] for a name that no group can have.
    pub fn named(name: &str) -> Result<Self> {
        let own = name.strip_prefix(Self::USER);
        let rest = own.unwrap_or(name);
        let reason = if rest.is_empty() {
            "it has no name"
        } else if name.len() > MAX_GROUP_BYTES {
            "its name is longer than 128 bytes"
        } else if rest.trim() != rest || rest.chars().any(char::is_control) {
            "its name begins or ends with a space, or has control characters"
        } else if rest.contains(':') {
            "only the group of a single person has a `:` in its name, as in `user:alice`"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(Error::InvalidAccess {
            reason: format!("the group `{}` cannot be: {reason}", name.escape_debug()),
        })
    }

    /// Returns the groups of these names.
    ///
    /// # Errors
    /// [`Error::InvalidAccess`] for a name that no group can have, and for too many.
    pub fn all_named<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<BTreeSet<Self>> {
        let named = names.into_iter().map(|name| Self::named(name.as_ref()));
        let groups = named.collect::<Result<BTreeSet<Self>>>()?;
        if groups.len() > MAX_GROUPS {
            return Err(Error::InvalidAccess {
                reason: format!(
                    "{} groups are named, and {MAX_GROUPS} can be; put people who belong together into a group of their own",
                    groups.len()
                ),
            });
        }
        Ok(groups)
    }
}

/// Who may read a document: whoever is in one of its readers and in none of its denied groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Acl {
    /// Any one of these suffices; none means nobody.
    pub readers: BTreeSet<GroupId>,
    /// Any one of these keeps out, whatever the readers say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub denied: BTreeSet<GroupId>,
}

impl Acl {
    /// The group every signed-in person belongs to.
    pub const EVERYONE: &'static str = "everyone";

    /// Returns an ACL that lets every signed-in person read.
    #[must_use]
    pub fn everyone() -> Self {
        Self::readers(BTreeSet::from([GroupId(Self::EVERYONE.to_owned())]))
    }

    /// Returns an ACL that lets these groups read, and denies nobody.
    #[must_use]
    pub fn readers(readers: BTreeSet<GroupId>) -> Self {
        Self {
            readers,
            denied: BTreeSet::new(),
        }
    }

    /// Returns whether one who is in these groups may read.
    #[must_use]
    pub fn lets(&self, groups: &BTreeSet<GroupId>) -> bool {
        !groups.is_disjoint(&self.readers) && groups.is_disjoint(&self.denied)
    }

    /// Returns an ACL for those whom both this and the other let read, as far as groups tell.
    #[must_use]
    pub fn narrowed(&self, other: &Self) -> Self {
        let is_open = |acl: &Self| acl.readers.iter().any(|group| group.0 == Self::EVERYONE);
        let readers = match (is_open(self), is_open(other)) {
            (true, _) => other.readers.clone(),
            (_, true) => self.readers.clone(),
            (false, false) => self.readers.intersection(&other.readers).cloned().collect(),
        };
        Self {
            readers,
            denied: self.denied.union(&other.denied).cloned().collect(),
        }
    }
}

/// What to change of an ACL. What is absent stays as it is; a new document lets everyone read and denies nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AclChange {
    /// The readers from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readers: Option<BTreeSet<GroupId>>,
    /// The denied groups from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<BTreeSet<GroupId>>,
}

impl AclChange {
    /// Returns the change to groups of these names.
    ///
    /// # Errors
    /// [`Error::InvalidAccess`] for names that no group can have, for too many, and for a list of readers without any: who
    /// leaves out what to say must not hide a document from all.
    pub fn named(readers: Option<&[String]>, denied: Option<&[String]>) -> Result<Self> {
        if readers.is_some_and(<[String]>::is_empty) {
            return Err(Error::InvalidAccess {
                reason: "nobody may read the documents; name at least one group".to_owned(),
            });
        }
        Ok(Self {
            readers: readers.map(GroupId::all_named).transpose()?,
            denied: denied.map(GroupId::all_named).transpose()?,
        })
    }

    /// Returns the ACL that it makes of the one that is known, if one is.
    #[must_use]
    pub fn of(&self, known: Option<Acl>) -> Acl {
        let known = known.unwrap_or_else(Acl::everyone);
        Acl {
            readers: self.readers.clone().unwrap_or(known.readers),
            denied: self.denied.clone().unwrap_or(known.denied),
        }
    }
}

impl From<Acl> for AclChange {
    fn from(acl: Acl) -> Self {
        Self {
            readers: Some(acl.readers),
            denied: Some(acl.denied),
        }
    }
}

/// What a member of a collection may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See that it exists, and read those of its documents whose ACLs let them.
    Reader,
    /// Change it and its documents, too.
    Editor,
}

impl Role {
    /// Returns its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Editor => "editor",
        }
    }
}

/// A group that a collection is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The group.
    pub group: GroupId,
    /// What it may do.
    pub role: Role,
}

impl Member {
    /// Returns the member that lets every signed-in person in, to read.
    #[must_use]
    pub fn everyone() -> Self {
        Self {
            group: GroupId(Acl::EVERYONE.to_owned()),
            role: Role::Reader,
        }
    }
}

/// What the asking principal may read. There is no default and no way round it: searching needs one.
///
/// It says which groups the principal is in. Which collections these are members of is asked of the catalog whenever a
/// [`Pipeline`](crate::Pipeline) reads: so nobody has to say it, and a member who leaves is out at the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFilter {
    who: Who,
    /// What it is limited to.
    collections: Collections,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Groups(BTreeSet<GroupId>),
    Unrestricted { reason: &'static str },
}

impl AccessFilter {
    /// Lets through documents whose ACLs let one who is in `groups` read. No groups let nothing through.
    #[must_use]
    pub fn groups(groups: BTreeSet<GroupId>) -> Self {
        Self {
            who: Who::Groups(groups),
            collections: Collections::All,
        }
    }

    /// Lets everything through. `reason` says why that is right, for the audit.
    #[must_use]
    pub fn unrestricted(reason: &'static str) -> Self {
        Self {
            who: Who::Unrestricted { reason },
            collections: Collections::All,
        }
    }

    /// Returns this filter, limited to these collections besides what it was limited to before.
    #[must_use]
    pub fn within(self, collections: &Collections) -> Self {
        Self {
            collections: self.collections.intersection(collections),
            who: self.who,
        }
    }

    /// Returns whether a document of this collection with this ACL may be read.
    #[must_use]
    pub fn allows(&self, collection: CollectionId, acl: &Acl) -> bool {
        let is_let = match &self.who {
            Who::Groups(groups) => acl.lets(groups),
            Who::Unrestricted { .. } => true,
        };
        is_let && self.collections.contains(collection)
    }

    /// Returns the collections that it is limited to.
    #[must_use]
    pub fn collections(&self) -> &Collections {
        &self.collections
    }

    /// Returns the groups to filter by inside an index; `None` when unrestricted.
    #[must_use]
    pub fn as_groups(&self) -> Option<&BTreeSet<GroupId>> {
        match &self.who {
            Who::Groups(groups) => Some(groups),
            Who::Unrestricted { .. } => None,
        }
    }

    /// Returns why this filter is unrestricted, if it is.
    #[must_use]
    pub fn unrestricted_reason(&self) -> Option<&'static str> {
        match &self.who {
            Who::Groups(_) => None,
            Who::Unrestricted { reason } => Some(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn groups(names: &[&str]) -> BTreeSet<GroupId> {
        names
            .iter()
            .map(|name| GroupId((*name).to_owned()))
            .collect()
    }

    #[test]
    fn narrowing_opens_nothing() {
        let acl = |names: &[&str]| Acl::readers(groups(names));
        let (hr, law, everyone) = (acl(&["hr"]), acl(&["law"]), Acl::everyone());
        assert_eq!(hr.narrowed(&everyone), hr);
        assert_eq!(everyone.narrowed(&hr), hr);
        assert_eq!(hr.narrowed(&law), acl(&[]));
        assert_eq!(acl(&["hr", "law"]).narrowed(&acl(&["law", "it"])), law);
        let denying = |names: &[&str]| Acl {
            denied: groups(names),
            ..Acl::everyone()
        };
        assert_eq!(
            denying(&["law"]).narrowed(&denying(&["user:eve"])),
            denying(&["law", "user:eve"])
        );
    }

    fn some_groups() -> impl Strategy<Value = BTreeSet<GroupId>> {
        let name = prop::sample::select(vec!["everyone", "hr", "law", "user:eve"]);
        prop::collection::btree_set(name.prop_map(|name| GroupId(name.to_owned())), 0..4)
    }

    proptest! {
        /// Whoever may read by a narrowed ACL may read by both it was made of, as everyone is in `everyone`.
        #[test]
        fn whom_a_narrowed_acl_lets_both_let(
            [a, b] in [(some_groups(), some_groups()), (some_groups(), some_groups())],
            mut asking in some_groups(),
        ) {
            asking.insert(GroupId(Acl::EVERYONE.to_owned()));
            let acl = |(readers, denied)| Acl { readers, denied };
            let (a, b) = (acl(a), acl(b));
            let narrowed = a.narrowed(&b);
            prop_assert!(!narrowed.lets(&asking) || a.lets(&asking) && b.lets(&asking));
        }
    }

    #[test]
    fn a_denied_group_keeps_out_whatever_lets_in() {
        let acl = Acl {
            readers: groups(&["everyone", "hr"]),
            denied: groups(&["user:eve"]),
        };
        assert!(acl.lets(&groups(&["everyone"])));
        assert!(!acl.lets(&groups(&["everyone", "hr", "user:eve"])));
        assert!(!acl.lets(&groups(&["law"])));
        assert!(!acl.lets(&groups(&[])));
    }

    #[test]
    fn limits_add_up_and_hold_for_the_unrestricted_too() {
        let [a, b, c] = [1, 2, 3].map(|n| CollectionId(Uuid::from_u128(n)));
        let only = |ids: &[CollectionId]| Collections::Only(ids.to_vec());
        for filter in [
            AccessFilter::groups(groups(&["everyone"])),
            AccessFilter::unrestricted("test"),
        ] {
            let limited = filter.within(&only(&[a, b])).within(&only(&[b, c]));
            assert_eq!(limited.collections(), &only(&[b]));
            assert!(limited.allows(b, &Acl::everyone()));
            assert!(!limited.allows(a, &Acl::everyone()));
        }
    }

    #[test]
    fn names_of_groups() {
        for name in ["hr", "営業 部", "user:alice", "user:a@example.com"] {
            assert_eq!(GroupId::named(name).unwrap(), GroupId(name.to_owned()));
        }
        let long = "x".repeat(129);
        for name in [
            "", " hr", "hr\n", "team:hr", "user:", "user: a", "user:a:b", &long,
        ] {
            let error = GroupId::named(name).unwrap_err();
            assert!(matches!(error, Error::InvalidAccess { .. }), "{name:?}");
        }
        let many = (0..=MAX_GROUPS).map(|n| n.to_string());
        assert!(GroupId::all_named(many).is_err());
    }
}
