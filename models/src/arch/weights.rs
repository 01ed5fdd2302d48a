//! The weights of a model folder as a source of named tensors.

use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use crate::{Error, Result};

const SAFETENSORS: &str = "model.safetensors";
const CHECKPOINT: &str = "pytorch_model.bin";

/// `model.safetensors`, or the tensors of `pytorch_model.bin`.
pub(crate) struct Weights {
    path: PathBuf,
}

impl Weights {
    /// Finds the weights in `dir`.
    pub(crate) fn find(dir: &Path) -> Result<Self> {
        let path = [SAFETENSORS, CHECKPOINT]
            .map(|name| dir.join(name))
            .into_iter()
            .find(|p| p.is_file());
        let path = path.ok_or_else(|| Error::Malformed {
            path: dir.to_owned(),
            reason: format!("neither `{SAFETENSORS}` nor `{CHECKPOINT}` is in it"),
        })?;
        Ok(Self { path })
    }

    /// Opens the weights; tensors come out as `dtype` on `device`.
    pub(crate) fn open(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
        if self.path.ends_with(CHECKPOINT) {
            // Candle has its own reader for these: it understands tensors and nothing else.
            return Ok(VarBuilder::from_pth(&self.path, dtype, device)?);
        }
        Ok(VarBuilder::from_backend(
            Box::new(self.map()?),
            dtype,
            device.clone(),
        ))
    }

    /// Returns the type a tensor has in the file, where the file says.
    pub(crate) fn stored_dtype(&self, name: &str) -> Result<Option<DType>> {
        if self.path.ends_with(CHECKPOINT) {
            return Ok(None);
        }
        let map = self.map()?;
        Ok(map
            .get(name)
            .ok()
            .and_then(|view| DType::try_from(view.dtype()).ok()))
    }

    #[expect(
        unsafe_code,
        reason = "mapping a file is unsafe because it could be changed while it is read"
    )]
    fn map(&self) -> Result<MmapedSafetensors> {
        // SAFETY: installed models are never written to; another version gets into place by renaming its folder.
        let map = unsafe { MmapedSafetensors::new(&self.path) };
        map.map_err(|e| Error::Malformed {
            path: self.path.clone(),
            reason: e.to_string(),
        })
    }
}
