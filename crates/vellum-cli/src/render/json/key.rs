//! The ways to unlock.

use crate::time::rfc3339;
use serde::Serialize;
use vellum::SlotSummary;

/// A way to unlock.
#[derive(Serialize)]
pub(crate) struct SlotLine<'a> {
    id: &'a str,
    kind: &'a str,
    role: &'a str,
    label: &'a str,
    created: Option<String>,
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    argon2id: Option<CostLine>,
}

#[derive(Serialize)]
struct CostLine {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl<'a> SlotLine<'a> {
    /// A slot's fields.
    pub(crate) fn new(slot: &'a SlotSummary) -> Self {
        Self {
            id: &slot.id,
            kind: &slot.kind,
            role: &slot.role,
            label: &slot.label,
            created: slot.created.map(rfc3339),
            current: slot.is_current,
            argon2id: slot.argon2id.map(|(memory_kib, passes, lanes)| CostLine { memory_kib, passes, lanes }),
        }
    }
}
