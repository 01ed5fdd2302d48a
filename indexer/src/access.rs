//! Who may read what. Every read path takes an [`AccessFilter`]; an empty one finds nothing.

use crate::document::CollectionId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The collections a search or listing looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collections {
    /// Every collection.
    All,
    /// Only these; none of them finds nothing.
    Only(Vec<CollectionId>),
}

/// The name of a group of people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub String);

/// The groups that may read a document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Acl {
    /// Any one of these suffices; none means nobody.
    pub readers: BTreeSet<GroupId>,
}

impl Acl {
    /// The group every signed-in person belongs to.
    pub const EVERYONE: &'static str = "everyone";

    /// Returns an ACL that lets every signed-in person read.
    #[must_use]
    pub fn everyone() -> Self {
        Self {
            readers: BTreeSet::from([GroupId(Self::EVERYONE.to_owned())]),
        }
    }

    /// Returns an ACL for those whom both this and the other let read, as far as groups tell.
    #[must_use]
    pub fn narrowed(&self, other: &Self) -> Self {
        let is_open = |acl: &Self| acl.readers.iter().any(|group| group.0 == Self::EVERYONE);
        match (is_open(self), is_open(other)) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            (false, false) => Self {
                readers: self.readers.intersection(&other.readers).cloned().collect(),
            },
        }
    }
}

/// What the asking principal may read. There is no default and no way round it: searching needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFilter(Scope);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Groups(BTreeSet<GroupId>),
    Unrestricted { reason: &'static str },
}

impl AccessFilter {
    /// Lets through documents readable by any of `groups`. No groups let nothing through.
    #[must_use]
    pub fn groups(groups: BTreeSet<GroupId>) -> Self {
        Self(Scope::Groups(groups))
    }

    /// Lets everything through. `reason` says why that is right, for the audit.
    #[must_use]
    pub fn unrestricted(reason: &'static str) -> Self {
        Self(Scope::Unrestricted { reason })
    }

    /// Returns whether a document with this ACL may be read.
    #[must_use]
    pub fn allows(&self, acl: &Acl) -> bool {
        match &self.0 {
            Scope::Groups(groups) => !groups.is_disjoint(&acl.readers),
            Scope::Unrestricted { .. } => true,
        }
    }

    /// Returns the groups to filter by inside an index; `None` when unrestricted.
    #[must_use]
    pub fn as_groups(&self) -> Option<&BTreeSet<GroupId>> {
        match &self.0 {
            Scope::Groups(groups) => Some(groups),
            Scope::Unrestricted { .. } => None,
        }
    }

    /// Returns why this filter is unrestricted, if it is.
    #[must_use]
    pub fn unrestricted_reason(&self) -> Option<&'static str> {
        match &self.0 {
            Scope::Groups(_) => None,
            Scope::Unrestricted { reason } => Some(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowing_opens_nothing() {
        let acl = |groups: &[&str]| Acl {
            readers: groups
                .iter()
                .map(|group| GroupId((*group).to_owned()))
                .collect(),
        };
        let (hr, law, everyone) = (acl(&["hr"]), acl(&["law"]), Acl::everyone());
        assert_eq!(hr.narrowed(&everyone), hr);
        assert_eq!(everyone.narrowed(&hr), hr);
        assert_eq!(hr.narrowed(&law), acl(&[]));
        assert_eq!(acl(&["hr", "law"]).narrowed(&acl(&["law", "it"])), law);
    }
}
