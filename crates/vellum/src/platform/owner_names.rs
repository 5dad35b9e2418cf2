//! The names of users and groups on this machine.
//!
//! Read from `/etc/passwd` and `/etc/group` and not through the C library: that needs no unsafe code, gives the same
//! in a static build, and never waits for a directory server in the middle of a backup. Accounts that only such a
//! server knows are kept by their number, which is the same on all machines it serves.

use std::collections::HashMap;

/// Numbers to names and back, as they were when this was loaded.
#[derive(Debug, Default)]
pub(crate) struct OwnerNames {
    users: Names,
    groups: Names,
}

#[derive(Debug, Default)]
struct Names {
    by_id: HashMap<u32, Vec<u8>>,
    by_name: HashMap<Vec<u8>, u32>,
}

impl OwnerNames {
    /// Reads this machine's files; one that is missing or unreadable knows no names.
    pub(crate) fn load() -> Self {
        let read = |path| std::fs::read(path).unwrap_or_default();
        Self { users: Names::parse(&read("/etc/passwd")), groups: Names::parse(&read("/etc/group")) }
    }

    /// The name of a user; empty when unknown.
    pub(crate) fn user(&self, uid: u32) -> &[u8] {
        self.users.name(uid)
    }

    /// The name of a group; empty when unknown.
    pub(crate) fn group(&self, gid: u32) -> &[u8] {
        self.groups.name(gid)
    }

    /// The number of a user.
    pub(crate) fn uid(&self, user: &[u8]) -> Option<u32> {
        self.users.by_name.get(user).copied()
    }

    /// The number of a group.
    pub(crate) fn gid(&self, group: &[u8]) -> Option<u32> {
        self.groups.by_name.get(group).copied()
    }
}

impl Names {
    /// Both files have the name in the first field and the number in the third; the first line of a name or a number
    /// counts, as in the C library.
    fn parse(file: &[u8]) -> Self {
        let mut names = Self::default();
        for line in file.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b':');
            let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { continue };
            let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) else { continue };
            if !name.is_empty() && !matches!(name[0], b'+' | b'-' | b'#') {
                names.by_id.entry(id).or_insert_with(|| name.to_vec());
                names.by_name.entry(name.to_vec()).or_insert(id);
            }
        }
        names
    }

    fn name(&self, id: u32) -> &[u8] {
        self.by_id.get(&id).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_and_broken_ones_do_not() {
        let file = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n+nis::::\n#old:x:7:7::\nshort:x\nbad:x:12a:1\n\
            caf\xc3\xa9:x:1000:1000::/:\nroot:x:5:5::/:\nlast:x:4294967294:1";
        let names = Names::parse(file);
        assert_eq!(names.name(0), b"root");
        assert_eq!(names.name(1000), "café".as_bytes());
        assert_eq!(names.name(4_294_967_294), b"last");
        assert_eq!(names.name(7), b"");
        assert_eq!(names.by_name.get(&b"toor"[..]), Some(&0));
        assert_eq!(names.by_name.get(&b"root"[..]), Some(&0));
        assert_eq!(names.by_name.len(), 4);
    }

    #[test]
    fn this_machine_knows_root() {
        let names = OwnerNames::load();
        assert_eq!((names.user(0), names.uid(b"root"), names.gid(b"root")), (&b"root"[..], Some(0), Some(0)));
        assert_eq!(names.group(u32::MAX), b"");
    }
}
