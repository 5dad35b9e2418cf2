//! The raw figures: all that the page is made of.

use crate::Failure;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file of JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) machine: Machine,
    #[serde(default)]
    pub(crate) tools: Vec<ToolNote>,
    #[serde(default)]
    pub(crate) sets: Vec<Set>,
    #[serde(default)]
    pub(crate) growth: Vec<Series>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
}

/// A program as it was run, or that it is missing here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ToolNote {
    pub(crate) name: String,
    /// `None` when it is not installed.
    pub(crate) version: Option<String>,
    /// Steps and their commands.
    pub(crate) commands: Vec<(String, String)>,
}

/// One source in two versions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) versions: [Extent; 2],
    pub(crate) runs: Vec<Run>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// One step of one program in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) round: u64,
    pub(crate) tool: String,
    pub(crate) step: String,
    pub(crate) cost: Cost,
    /// What the repository holds after it.
    pub(crate) repository: Extent,
    /// After a restore: what is not as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) differences: Option<Differences>,
}

/// What a step took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds until all was on the disk.
    pub(crate) wall: f64,
    /// Seconds of all processors.
    pub(crate) cpu: f64,
    /// Bytes in memory of the largest process.
    pub(crate) peak_bytes: u64,
}

/// Entries of a restored tree that differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Differences {
    /// In what they are or hold, or that are missing or too many.
    pub(crate) content: u64,
    /// In permissions, times or targets only.
    pub(crate) metadata: u64,
}

/// One way to grow, and what each verb of Vellum costs then.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) round: u64,
    /// What doubles: files or bytes that were asked for.
    pub(crate) size: u64,
    pub(crate) source: Extent,
    pub(crate) verbs: Vec<(String, Cost)>,
}

impl Figures {
    /// What is there already, or nothing: each measurement replaces its own part.
    pub(crate) fn read_or_new(path: &Path) -> Result<Self, Failure> {
        if path.exists() { Self::read(path) } else { Ok(Self::default()) }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?)
    }
}
