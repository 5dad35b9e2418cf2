//! Two trees compared, and one counted.

use crate::Failure;
use crate::figures::{Differences, Extent};
use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Files below a folder, or a file, and their bytes.
pub(crate) fn extent(path: &Path) -> Result<Extent, Failure> {
    let metadata = fs::symlink_metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut extent = Extent::default();
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            let below = self::extent(&entry?.path())?;
            extent.files += below.files;
            extent.bytes += below.bytes;
        }
    } else if metadata.is_file() {
        extent = Extent { files: 1, bytes: metadata.len() };
    }
    Ok(extent)
}

/// What of `restored` is not as in `source`: every name, every byte, permissions, owners, times to the second, targets.
pub(crate) fn differences(source: &Path, restored: &Path) -> Result<Differences, Failure> {
    let mut found = Differences::default();
    compare(source, restored, &mut found)?;
    Ok(found)
}

fn compare(source: &Path, restored: &Path, found: &mut Differences) -> Result<(), Failure> {
    let before = fs::symlink_metadata(source)?;
    let after = match fs::symlink_metadata(restored) {
        Ok(after) if after.file_type() == before.file_type() => after,
        _ => {
            found.content += 1;
            return Ok(());
        }
    };
    if before.is_dir() {
        let names = |folder: &Path| -> Result<BTreeSet<_>, Failure> {
            Ok(fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?)
        };
        let (wanted, there) = (names(source)?, names(restored)?);
        found.content += there.difference(&wanted).count() as u64;
        wanted.iter().try_for_each(|name| compare(&source.join(name), &restored.join(name), found))?;
    }
    let is_same = match before.is_file() {
        true => before.len() == after.len() && has_same_bytes(source, restored)?,
        false => !before.is_symlink() || fs::read_link(source)? == fs::read_link(restored)?,
    };
    let told = |metadata: &Metadata| {
        let mode = if metadata.is_symlink() { 0 } else { metadata.mode() };
        (mode, metadata.uid(), metadata.gid(), metadata.mtime())
    };
    match is_same {
        false => found.content += 1,
        true if told(&before) != told(&after) => found.metadata += 1,
        true => {}
    }
    Ok(())
}

fn has_same_bytes(one: &Path, other: &Path) -> Result<bool, Failure> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let mut buffers = [vec![0; 256 << 10], vec![0; 256 << 10]];
    loop {
        let len = one.read(&mut buffers[0])?;
        if len == 0 {
            return Ok(other.read(&mut buffers[1])? == 0);
        }
        if other.read_exact(&mut buffers[1][..len]).is_err() || buffers[0][..len] != buffers[1][..len] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn every_kind_of_difference_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        for root in [&one, &two] {
            fs::create_dir_all(root.join("below")).unwrap();
            fs::write(root.join("below/file"), "content").unwrap();
            symlink("target", root.join("link")).unwrap();
        }
        // Links and folders were made in the same second or in two: their times are set by nobody.
        let times = || {
            for path in ["", "below", "below/file"] {
                let time = fs::metadata(one.join(path)).unwrap().modified().unwrap();
                File::open(two.join(path)).unwrap().set_modified(time).unwrap();
            }
            differences(&one, &two).unwrap()
        };
        assert_eq!(extent(&one).unwrap(), Extent { files: 1, bytes: 7 });
        assert_eq!(times().content, 0);
        fs::set_permissions(two.join("below/file"), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(times().metadata >= 1);
        fs::write(two.join("below/file"), "Content").unwrap();
        assert_eq!(times().content, 1);
        fs::write(two.join("below/more"), "").unwrap();
        fs::remove_file(two.join("link")).unwrap();
        assert_eq!(times().content, 3);
        fs::remove_dir_all(&two).unwrap();
        assert_eq!(differences(&one, &two).unwrap().content, 1, "nothing came back");
    }
}
