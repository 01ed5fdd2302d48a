//! GGUF files: typed metadata and tensors, with errors that name the file.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Content, Value};

use crate::{Error, Result};

/// An open GGUF file.
pub(crate) struct Gguf {
    path: PathBuf,
    content: Content,
    reader: BufReader<fs_err::File>,
}

impl Gguf {
    /// Opens `path` and reads its metadata and tensor directory, not its tensors.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be opened, [`Error::Malformed`] when it is no GGUF file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 20, fs_err::File::open(path)?);
        let content = Content::read(&mut reader).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            content,
            reader,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns an unsigned integer, or nothing when the key is absent or of another type.
    pub(crate) fn get_usize(&self, key: &str) -> Option<usize> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "foreign enum; other types are no integers"
        )]
        match self.content.metadata.get(key)? {
            Value::U8(v) => Some(usize::from(*v)),
            Value::U16(v) => Some(usize::from(*v)),
            Value::U32(v) => usize::try_from(*v).ok(),
            Value::U64(v) => usize::try_from(*v).ok(),
            Value::I8(v) => usize::try_from(*v).ok(),
            Value::I16(v) => usize::try_from(*v).ok(),
            Value::I32(v) => usize::try_from(*v).ok(),
            Value::I64(v) => usize::try_from(*v).ok(),
            _ => None,
        }
    }

    /// Returns a number, or nothing when the key is absent or of another type.
    pub(crate) fn get_f64(&self, key: &str) -> Option<f64> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "foreign enum; other types are no floats"
        )]
        match self.content.metadata.get(key)? {
            Value::F32(v) => Some(f64::from(*v)),
            Value::F64(v) => Some(*v),
            _ => None,
        }
    }

    /// Returns a truth value, or nothing when the key is absent or of another type.
    pub(crate) fn get_bool(&self, key: &str) -> Option<bool> {
        self.content.metadata.get(key)?.to_bool().ok()
    }

    /// Returns a text, or nothing when the key is absent or of another type.
    pub(crate) fn get_str(&self, key: &str) -> Option<&str> {
        self.content
            .metadata
            .get(key)?
            .to_string()
            .ok()
            .map(String::as_str)
    }

    /// Returns an array, or nothing when the key is absent or of another type.
    pub(crate) fn get_array(&self, key: &str) -> Option<&[Value]> {
        self.content
            .metadata
            .get(key)?
            .to_vec()
            .ok()
            .map(Vec::as_slice)
    }

    /// Like [`Self::get_usize`], the key being required.
    pub(crate) fn usize(&self, key: &str) -> Result<usize> {
        self.get_usize(key).ok_or_else(|| self.missing(key))
    }

    /// Like [`Self::get_f64`], the key being required.
    pub(crate) fn f64(&self, key: &str) -> Result<f64> {
        self.get_f64(key).ok_or_else(|| self.missing(key))
    }

    /// Like [`Self::get_str`], the key being required.
    pub(crate) fn str(&self, key: &str) -> Result<&str> {
        self.get_str(key).ok_or_else(|| self.missing(key))
    }

    /// Returns a required array of texts.
    pub(crate) fn strings(&self, key: &str) -> Result<Vec<String>> {
        let array = self.get_array(key).ok_or_else(|| self.missing(key))?;
        array
            .iter()
            .map(|value| value.to_string().cloned().map_err(|_| self.missing(key)))
            .collect()
    }

    /// Returns whether a tensor of that name is in the file.
    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// Returns the names of all tensors, unordered.
    pub(crate) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.content.tensor_infos.keys().map(String::as_str)
    }

    /// Reads a tensor onto `device`, as it is stored.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is absent or cut off.
    pub(crate) fn tensor(&mut self, name: &str, device: &Device) -> Result<QTensor> {
        self.content
            .tensor(&mut self.reader, name, device)
            .map_err(|error| Error::Malformed {
                path: self.path.clone(),
                reason: format!("tensor `{name}`: {error}"),
            })
    }

    fn missing(&self, key: &str) -> Error {
        Error::Malformed {
            path: self.path.clone(),
            reason: format!("metadata `{key}` is absent or of an unexpected type"),
        }
    }
}
