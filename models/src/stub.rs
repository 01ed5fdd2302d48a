//! TEMPORARY: signatures of what the embed and generate branches bring. Dropped on merge.
use crate::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub mod registry {
    use super::*;
    #[derive(Debug, Clone)]
    pub struct Registry { models_dir: PathBuf, spec: Option<ModelSpec> }
    #[derive(Debug, Clone, PartialEq)]
    pub struct Installed { pub spec: ModelSpec, pub dir: PathBuf }
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Listed { pub spec: ModelSpec, pub state: InstallState, pub size_bytes: Option<u64> }
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum InstallState { Installed, Partial, Missing }
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Manifest { pub id: ModelId, pub source: String, pub files: Vec<ManifestFile> }
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ManifestFile { pub name: String, pub sha256: String, pub size_bytes: u64 }
    impl Registry {
        pub fn open(models_dir: &Path) -> Result<Self> { Ok(Self { models_dir: models_dir.to_owned(), spec: None }) }
        pub fn with_hub(self, _endpoint: &str) -> Self { self }
        pub fn models_dir(&self) -> &Path { &self.models_dir }
        pub fn list(&self) -> Vec<Listed> { Vec::new() }
        pub fn spec(&self, id: &str) -> Result<&ModelSpec> { self.spec.as_ref().ok_or_else(|| Error::UnknownModel { id: id.to_owned() }) }
        pub fn locate(&self, id: &str) -> Result<Installed> { Err(Error::NotInstalled { id: id.to_owned() }) }
        pub fn pull(&self, id: &str, _p: &mut dyn FnMut(fetch::Progress)) -> Result<Installed> { self.locate(id) }
        pub fn import(&self, _path: &Path) -> Result<Vec<Installed>> { Ok(Vec::new()) }
        pub fn verify(&self, id: &str) -> Result<Manifest> { Err(Error::NotInstalled { id: id.to_owned() }) }
    }
}
pub mod fetch {
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Progress { Source { source: String }, File { name: String, received: u64, total: Option<u64> }, Checking, Failed { source: String, reason: String } }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice { #[default] Auto, Cpu, Cuda(usize) }
impl std::str::FromStr for DeviceChoice {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> { match text { "auto" => Ok(Self::Auto), "cpu" => Ok(Self::Cpu), _ => text.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda).ok_or(Error::Stopped) } }
}
#[derive(Debug, Clone, Default)]
pub struct EmbedConfig { pub threads: Option<usize>, pub max_batch_tokens: Option<usize> }
pub fn load_embedder(_i: &registry::Installed, _d: &DeviceChoice, _c: &EmbedConfig) -> Result<Arc<dyn Embedder>> { Err(Error::Stopped) }
pub fn load_generator(_i: &registry::Installed, _d: &DeviceChoice) -> Result<Arc<dyn Generator>> { Err(Error::Stopped) }
impl DeviceChoice { pub fn open(self) -> Result<candle_core::Device> { Ok(candle_core::Device::Cpu) } }
