//! Why a job did not end well, as a word for programs.

use crate::{Error, Result};

/// Why a job failed, was cancelled, or waits for another attempt. Names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The file is protected by a password.
    Encrypted,
    /// The file is damaged or not what its name says.
    Malformed,
    /// The file, or what it unpacks to, is too large.
    TooLarge,
    /// The file has no content at all.
    EmptyFile,
    /// The file is sound, but there is no text in it.
    NoText,
    /// kura cannot read this kind of file.
    UnsupportedFormat,
    /// The kept original cannot be read any more.
    LostFile,
    /// Reading the file did not end in time.
    Timeout,
    /// What read the file ended unexpectedly.
    Crashed,
    /// The embedder failed.
    Model,
    /// The disk is full.
    StorageFull,
    /// A failure of kura itself.
    Internal,
    /// A person cancelled it.
    Cancelled,
    /// A newer version of the document came before it was done.
    Replaced,
    /// The document was deleted before it was done.
    Deleted,
}

/// Whether another attempt may end otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: it is the file's own fault.
    Never,
    /// Perhaps: a few attempts, then the job fails.
    Few,
    /// Yes, once what is wrong with the machine has been put right: attempts never end.
    Always,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 15] = [
        Self::Encrypted,
        Self::Malformed,
        Self::TooLarge,
        Self::EmptyFile,
        Self::NoText,
        Self::UnsupportedFormat,
        Self::LostFile,
        Self::Timeout,
        Self::Crashed,
        Self::Model,
        Self::StorageFull,
        Self::Internal,
        Self::Cancelled,
        Self::Replaced,
        Self::Deleted,
    ];

    /// Returns the name used on every interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::EmptyFile => "empty_file",
            Self::NoText => "no_text",
            Self::UnsupportedFormat => "unsupported_format",
            Self::LostFile => "lost_file",
            Self::Timeout => "timeout",
            Self::Crashed => "crashed",
            Self::Model => "model",
            Self::StorageFull => "storage_full",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
            Self::Replaced => "replaced",
            Self::Deleted => "deleted",
        }
    }

    /// Returns the reason of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Encrypted => "remove the password and add the file again",
            Self::Malformed => {
                "open the file in the program that made it, save it anew, and add it again"
            }
            Self::TooLarge => "split the file into smaller ones",
            Self::EmptyFile => "nothing, if the file is meant to be empty",
            Self::NoText => "add a version with a text layer: scans need text recognition",
            Self::UnsupportedFormat => "convert the file to PDF or another supported format",
            Self::LostFile => "add the file again, and have the disk checked",
            Self::Timeout => "retry the job when the machine is less busy, or split the file",
            Self::Crashed => {
                "retry the job; if it fails again the file is damaged in an unusual way: convert it"
            }
            Self::Model => "retry the job; `kura doctor` checks the models",
            Self::StorageFull => "free some space: the job goes on by itself",
            Self::Internal => "the job goes on by itself; the server's log says more",
            Self::Cancelled => "retry the job if the file is wanted after all",
            Self::Replaced | Self::Deleted => "nothing: the version is no longer wanted",
        }
    }

    /// Returns whether another attempt may end otherwise.
    #[must_use]
    pub fn retry(self) -> Retry {
        match self {
            Self::Encrypted
            | Self::Malformed
            | Self::TooLarge
            | Self::EmptyFile
            | Self::NoText
            | Self::UnsupportedFormat
            | Self::LostFile
            | Self::Cancelled
            | Self::Replaced
            | Self::Deleted => Retry::Never,
            Self::Timeout | Self::Crashed => Retry::Few,
            Self::Model | Self::StorageFull | Self::Internal => Retry::Always,
        }
    }
}

impl Error {
    /// Returns the reason that a job which ended with this error has.
    #[must_use]
    pub fn reason(&self) -> Reason {
        if self.is_storage_full() {
            return Reason::StorageFull;
        }
        match self {
            Self::UnsupportedFormat { .. } => Reason::UnsupportedFormat,
            Self::EmptyFile => Reason::EmptyFile,
            Self::NoText | Self::NoRecognizer => Reason::NoText,
            Self::Encrypted => Reason::Encrypted,
            Self::Malformed { .. } => Reason::Malformed,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Model(_) => Reason::Model,
            // Or a panic on a background thread.
            Self::ReaderEnded { .. } | Self::Task(_) => Reason::Crashed,
            Self::ReaderTimedOut { .. } => Reason::Timeout,
            Self::StorageFull { .. } => Reason::StorageFull,
            Self::UnknownCollection { .. }
            | Self::CollectionExists { .. }
            | Self::InvalidAccess { .. }
            | Self::InvalidCollectionName { .. }
            | Self::InvalidDictionary { .. }
            | Self::InvalidDate { .. }
            | Self::InvalidMetadata { .. }
            | Self::UnknownDocument { .. }
            | Self::PartOfDocument { .. }
            | Self::UnknownJob { .. }
            | Self::JobState { .. }
            | Self::RequestKeyUsed { .. }
            | Self::UnknownSource { .. }
            | Self::SourceExists { .. }
            | Self::InvalidSource { .. }
            | Self::Locked { .. }
            | Self::Incompatible { .. }
            | Self::Damaged { .. }
            | Self::Catalog(_)
            | Self::Migration(_)
            | Self::Corrupt { .. }
            | Self::Lexical(_)
            | Self::Dense(_)
            | Self::Io(_)
            | Self::Reranker { .. } => Reason::Internal,
        }
    }
}

/// Reads the column `code`.
pub(super) fn from_column(code: Option<&str>) -> Result<Option<Reason>> {
    code.map(|name| Reason::parse(name).ok_or_else(|| super::corrupt("job code")))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert!(!reason.remedy().ends_with('.'));
        }
        assert_eq!(Reason::parse("unheard_of"), None);
    }

    #[test]
    fn a_full_disk_is_never_the_files_fault() {
        let full = Error::Io(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(full.reason(), Reason::StorageFull);
        assert_eq!(full.reason().retry(), Retry::Always);
        assert_eq!(Error::Encrypted.reason().retry(), Retry::Never);
        assert_eq!(Error::Task("panic".to_owned()).reason().retry(), Retry::Few);
    }
}
