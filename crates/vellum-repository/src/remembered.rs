//! What this machine remembers of history, so that a storage cannot quietly show it less (I14). Sealed in local
//! state and as losable as everything there: without it nothing is alarming, and nothing is proved.

use crate::open::Repository;
use std::collections::{BTreeMap, BTreeSet};
use vellum_format::{DeviceId, ObjectId, ObjectKind, ObjectName};

const STATE_KEY: &str = "history";
const VERSION: u8 = 1;

/// A record that was seen, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) name: ObjectName,
}

/// What was seen of a repository's history, here and until now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The newest record of each device.
    pub(crate) newest: BTreeMap<DeviceId, Seen>,
    /// Records that were the newest once and are not accounted for.
    pub(crate) lost: BTreeSet<Seen>,
    /// Records whose findings the user has accepted.
    pub(crate) accepted: BTreeSet<ObjectId>,
}

impl Remembered {
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Everything that must be there, or be removed by a tombstone.
    pub(crate) fn records(&self) -> impl Iterator<Item = Seen> {
        self.lost.iter().chain(self.newest.values()).copied()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let lists = [self.newest.values().copied().collect::<Vec<_>>(), self.lost.iter().copied().collect()];
        for list in lists {
            push_count(&mut bytes, list.len());
            for Seen { device, sequence, name } in list {
                bytes.extend_from_slice(device.as_bytes());
                bytes.extend_from_slice(&sequence.to_le_bytes());
                bytes.push(u8::from(name.kind == ObjectKind::Tombstone));
                bytes.extend_from_slice(name.id.as_bytes());
            }
        }
        push_count(&mut bytes, self.accepted.len());
        self.accepted.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let newest = take_list(&mut rest)?.into_iter().map(|seen| (seen.device, seen)).collect();
        let lost = take_list(&mut rest)?.into_iter().collect();
        let accepted = (0..take_count(&mut rest)?).map(|_| Some(ObjectId::from_bytes(take(&mut rest)?)));
        let accepted = accepted.collect::<Option<_>>()?;
        rest.is_empty().then_some(Self { newest, lost, accepted })
    }
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).expect("no history has 2^32 records").to_le_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

fn take_count(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

fn take_list(rest: &mut &[u8]) -> Option<Vec<Seen>> {
    (0..take_count(rest)?)
        .map(|_| {
            let device = DeviceId::from_bytes(take(rest)?);
            let sequence = u64::from_le_bytes(take(rest)?);
            let kind = match take(rest)? {
                [0] => ObjectKind::Snapshot,
                [1] => ObjectKind::Tombstone,
                _ => return None,
            };
            Some(Seen { device, sequence, name: ObjectName::new(kind, ObjectId::from_bytes(take(rest)?)) })
        })
        .collect()
}

impl Repository {
    /// What this machine remembers; nothing when its local state is new, unusable or not kept.
    pub(crate) fn remembered(&self) -> Remembered {
        let sealed = self.index().state_get(STATE_KEY);
        let bytes = sealed.and_then(|sealed| self.open_local(STATE_KEY, &sealed));
        bytes.and_then(|bytes| Remembered::decode(&bytes)).unwrap_or_default()
    }

    /// Remembers a record that this process has made durable. A failure to do so must not look like a failed backup.
    pub(crate) fn remember_own(&self, device: DeviceId, sequence: u64, name: ObjectName) {
        let mut remembered = self.remembered();
        remembered.newest.insert(device, Seen { device, sequence, name });
        self.remember(&remembered);
    }

    /// Remembers; what cannot be kept is not remembered, which costs an alarm at worst.
    pub(crate) fn remember(&self, remembered: &Remembered) {
        if let Ok(sealed) = self.seal_local(STATE_KEY, &remembered.encode()) {
            self.index().state_put(STATE_KEY, &sealed).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u8, kind: ObjectKind) -> Seen {
        let name = ObjectName::of(kind, &[number]);
        Seen { device: DeviceId::from_bytes([number; 16]), sequence: u64::from(number) << 40, name }
    }

    #[test]
    fn what_is_remembered_comes_back_and_nothing_else_decodes() {
        let (one, two) = (seen(1, ObjectKind::Snapshot), seen(2, ObjectKind::Tombstone));
        let remembered = Remembered {
            newest: [one, two].map(|seen| (seen.device, seen)).into(),
            lost: [seen(3, ObjectKind::Snapshot)].into(),
            accepted: [one.name.id, two.name.id].into(),
        };
        let bytes = remembered.encode();
        assert_eq!(Remembered::decode(&bytes), Some(remembered));
        assert_eq!(Remembered::decode(&Remembered::default().encode()), Some(Remembered::default()));
        assert!((0..bytes.len()).all(|len| Remembered::decode(&bytes[..len]).is_none()));
        assert_eq!(Remembered::decode(&[&bytes[..], &[0]].concat()), None);
    }
}
