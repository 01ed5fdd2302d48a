//! CPU or GPU, decided once.

use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The device asked for: `auto`, `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first usable GPU, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// That GPU, or an error.
    Cuda(usize),
}

impl DeviceChoice {
    /// Opens the device. A GPU counts only after a small computation on it succeeded.
    ///
    /// `auto` falls back to the CPU and logs why. Call this once per process and per model that is loaded.
    ///
    /// # Errors
    /// [`Error::Device`] when a GPU was asked for explicitly and cannot be used.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(n) => probe(n).map_err(|reason| Error::Device {
                device: self.to_string(),
                reason,
            }),
            Self::Auto => match probe(0) {
                Ok(device) => {
                    tracing::info!("computing on GPU 0");
                    Ok(device)
                }
                Err(reason) => {
                    tracing::info!(reason, "computing on the CPU");
                    Ok(Device::Cpu)
                }
            },
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn probe(_ordinal: usize) -> std::result::Result<Device, String> {
    Err("this kura was built without GPU support; use a build made with `make cuda`, or device `cpu`".to_owned())
}

/// Opens the GPU and computes `1 + 1` on it.
///
/// Missing libraries make the driver bindings panic, and a driver that is too old fails only at the first kernel, so
/// both happen inside the guard. The panic hook is silenced meanwhile: a machine without a GPU is no crash.
#[cfg(feature = "cuda")]
fn probe(ordinal: usize) -> std::result::Result<Device, String> {
    static PROBING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = PROBING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);

    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = std::panic::catch_unwind(|| -> candle_core::Result<Device> {
        let device = Device::new_cuda(ordinal)?;
        let two =
            candle_core::Tensor::ones(1, candle_core::DType::F32, &device)?.affine(1.0, 1.0)?;
        match two.to_vec1::<f32>()?.as_slice() {
            [2.0] => Ok(device),
            other => candle_core::bail!("it computed 1 + 1 = {other:?}"),
        }
    });
    std::panic::set_hook(hook);
    match outcome {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(format!(
            "{error}; check `nvidia-smi` and the driver's version"
        )),
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("the CUDA libraries could not be loaded");
            let line = said.lines().next().unwrap_or_default();
            Err(format!(
                "{line}; install the driver and the CUDA 13 libraries (libcublas, libcurand)"
            ))
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::Device {
            device: text.to_owned(),
            reason: "it is none of `auto`, `cpu` and `cuda:N`".to_owned(),
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => {
                let ordinal = text.strip_prefix("cuda:").ok_or_else(invalid)?;
                Ok(Self::Cuda(ordinal.parse().map_err(|_| invalid())?))
            }
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "cuda", "cuda:", "cuda:x", "CPU"] {
            assert!(
                matches!(text.parse::<DeviceChoice>(), Err(Error::Device { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn the_cpu_is_always_there_and_auto_never_fails() {
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
        assert!(DeviceChoice::Auto.open().is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_gpu_asked_for_in_a_cpu_build_is_refused() {
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(
            error.contains("cuda:0") && error.contains("make cuda"),
            "{error}"
        );
    }
}
