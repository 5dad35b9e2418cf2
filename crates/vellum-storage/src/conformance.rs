//! The contract of [`Storage`] as tests, one per sentence; run it against every backend and every wrapper.
//!
//! What a crash leaves cannot be tested from outside; `vellum-testkit` does that for the local storage.

use crate::{ObjectSummary, Put, Storage, StorageError};
use std::collections::BTreeSet;
use vellum_format::{ObjectKind, ObjectName};

/// Runs the whole suite, each test on a new and empty storage.
///
/// # Panics
/// With the broken sentence, when the storage breaks the contract.
pub fn run(make: &dyn Fn() -> Box<dyn Storage>) {
    let tests: [fn(&dyn Storage); 14] = [
        what_was_put_is_read_back_whole,
        an_existing_object_is_never_replaced,
        put_and_sync_and_put_again,
        get_refuses_objects_over_the_limit,
        a_range_is_given_exactly_or_not_at_all,
        absent_objects_are_not_found,
        a_listing_holds_every_object_of_its_kind_once,
        kinds_are_apart,
        deleting_an_absent_object_succeeds,
        a_deleted_object_is_gone_and_can_come_back,
        a_damaged_object_gives_way_to_what_its_name_stands_for,
        nothing_else_replaces_an_object,
        readers_see_a_whole_object_or_none,
        concurrent_puts_of_one_object_store_it_once,
    ];
    tests.into_iter().for_each(|test| test(&*make()));
}

/// Lengths around which file systems, networks and buffers have their seams.
const LENS_BYTES: [usize; 7] = [0, 1, 511, 4096, 4097, 65_536, 1_000_003];

fn what_was_put_is_read_back_whole(storage: &dyn Storage) {
    for (kind, len_bytes) in ObjectKind::ALL.into_iter().zip(LENS_BYTES) {
        let bytes = content(len_bytes);
        let name = ObjectName::of(kind, &bytes);
        assert_eq!(ok("put", storage.put(&name, &bytes)), Put::Stored, "a new object is stored");
        assert_eq!(ok("len", storage.len(&name)), len_bytes as u64, "len gives the object's length");
        let read = ok("get", storage.get(&name, len_bytes as u64));
        assert!(read == bytes, "get gives the bytes that were put, at exactly the limit ({len_bytes})");
    }
}

fn an_existing_object_is_never_replaced(storage: &dyn Storage) {
    let name = ObjectName::of(ObjectKind::Pack, b"first");
    ok("put", storage.put(&name, b"first"));
    assert_eq!(ok("put", storage.put(&name, b"other")), Put::AlreadyThere, "the same length is taken as the same");
    for bytes in [&b"longer than it was"[..], b""] {
        match storage.put(&name, bytes) {
            Err(StorageError::NameTaken { len_bytes_there: 5, len_bytes_put, .. }) => {
                assert_eq!(len_bytes_put, bytes.len() as u64);
            }
            other => panic!("another length must be NameTaken, but gave {other:?}"),
        }
    }
    assert_eq!(ok("get", storage.get(&name, 5)), b"first", "the first bytes stay");
}

fn put_and_sync_and_put_again(storage: &dyn Storage) {
    ok("sync of nothing", storage.sync());
    for round in 0..3 {
        let bytes = content(round);
        ok("put", storage.put(&ObjectName::of(ObjectKind::Pack, &bytes), &bytes));
        ok("sync", storage.sync());
        ok("second sync", storage.sync());
    }
}

fn get_refuses_objects_over_the_limit(storage: &dyn Storage) {
    let name = ObjectName::of(ObjectKind::Catalog, b"12345");
    ok("put", storage.put(&name, b"12345"));
    for len_bytes_max in [0, 4] {
        match storage.get(&name, len_bytes_max) {
            Err(StorageError::TooLarge { len_bytes: 5, len_bytes_max: limit, .. }) => assert_eq!(limit, len_bytes_max),
            other => panic!("5 bytes over a limit of {len_bytes_max} must be TooLarge, but gave {other:?}"),
        }
    }
}

fn a_range_is_given_exactly_or_not_at_all(storage: &dyn Storage) {
    let bytes = content(10_000);
    let name = ObjectName::of(ObjectKind::Pack, &bytes);
    ok("put", storage.put(&name, &bytes));
    for (start, end) in [(0, 10_000), (0, 0), (10_000, 10_000), (1, 2), (4095, 8193), (9_999, 10_000)] {
        let read = ok("get_range", storage.get_range(&name, start as u64..end as u64));
        assert!(read == bytes[start..end], "get_range gives exactly bytes {start} to {end}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "hostile directories may ask for them")]
    for range in [9_999..10_001, 0..u64::MAX, 10_001..10_001, u64::MAX - 1..u64::MAX, 2..1] {
        match storage.get_range(&name, range.clone()) {
            Err(StorageError::ShortRead { wanted, len_bytes: 10_000, .. }) => assert_eq!(wanted, range),
            other => panic!("{range:?} of 10,000 bytes must be ShortRead, but gave {:?}", other.map(|read| read.len())),
        }
    }
}

fn absent_objects_are_not_found(storage: &dyn Storage) {
    for kind in ObjectKind::ALL {
        let name = ObjectName::of(kind, b"absent");
        let answers =
            [storage.get(&name, 1).map(drop), storage.get_range(&name, 0..0).map(drop), storage.len(&name).map(drop)];
        for answer in answers {
            match answer {
                Err(StorageError::NotFound { name: missing }) => assert_eq!(missing, name),
                other => panic!("an absent {} must be NotFound, but gave {other:?}", kind.noun()),
            }
        }
    }
}

fn a_listing_holds_every_object_of_its_kind_once(storage: &dyn Storage) {
    for kind in ObjectKind::ALL {
        assert_eq!(listing(storage, kind), BTreeSet::new(), "a new storage has no {}", kind.noun());
        let expected: BTreeSet<ObjectSummary> = (0..40).map(|len_bytes| put_new(storage, kind, len_bytes)).collect();
        assert_eq!(listing(storage, kind), expected, "list gives each {} with its length", kind.noun());
    }
}

fn kinds_are_apart(storage: &dyn Storage) {
    let bytes = content(100);
    for (count, kind) in ObjectKind::ALL.into_iter().enumerate() {
        let name = ObjectName::of(kind, &bytes);
        assert_eq!(ok("put", storage.put(&name, &bytes)), Put::Stored, "one id may name one object of each kind");
        let listed: usize = ObjectKind::ALL.into_iter().map(|kind| listing(storage, kind).len()).sum();
        assert_eq!(listed, count + 1, "an object is listed under its own kind only");
    }
    ok("delete", storage.delete(&ObjectName::of(ObjectKind::Key, &bytes)));
    ok("len of the copy", storage.len(&ObjectName::of(ObjectKind::KeyMirror, &bytes)));
}

fn deleting_an_absent_object_succeeds(storage: &dyn Storage) {
    for kind in ObjectKind::ALL {
        ok("delete of an absent object", storage.delete(&ObjectName::of(kind, b"absent")));
        ok("sync after it", storage.sync());
    }
}

fn a_deleted_object_is_gone_and_can_come_back(storage: &dyn Storage) {
    let name = ObjectName::of(ObjectKind::Snapshot, b"12345");
    for bytes in [&b"12345"[..], b"another length"] {
        assert_eq!(ok("put", storage.put(&name, bytes)), Put::Stored, "a deleted object can be put again");
        ok("delete", storage.delete(&name));
        assert!(matches!(storage.len(&name), Err(StorageError::NotFound { .. })), "a deleted object is gone");
        assert!(listing(storage, name.kind).is_empty(), "a deleted object is not listed");
        ok("second delete", storage.delete(&name));
        ok("sync", storage.sync());
    }
}

fn a_damaged_object_gives_way_to_what_its_name_stands_for(storage: &dyn Storage) {
    let bytes = content(5_000);
    for kind in [ObjectKind::Pack, ObjectKind::Snapshot] {
        let name = ObjectName::of(kind, &bytes);
        for damaged in [&content(4_999)[..], &content(6_000), b""] {
            ok("put", storage.put(&name, damaged));
            ok("replace", storage.replace_damaged(&name, &bytes));
            assert!(ok("get", storage.get(&name, 5_000)) == bytes, "the name's own bytes are there");
            ok("sync", storage.sync());
            assert_eq!(listing(storage, kind).len(), 1, "and nothing else");
            ok("delete", storage.delete(&name));
        }
        ok("replacing what is not there", storage.replace_damaged(&name, &bytes));
        ok("replacing the same", storage.replace_damaged(&name, &bytes));
        assert_eq!(ok("put", storage.put(&name, &bytes)), Put::AlreadyThere, "what was replaced is there");
    }
}

fn nothing_else_replaces_an_object(storage: &dyn Storage) {
    let name = ObjectName::of(ObjectKind::Pack, b"first");
    ok("put", storage.put(&name, b"first"));
    for bytes in [&b"other"[..], b"longer than it was", b""] {
        match storage.replace_damaged(&name, bytes) {
            Err(StorageError::OtherBytes { name: refused }) => assert_eq!(refused, name),
            other => panic!("bytes that do not hash to the name must be OtherBytes, but gave {other:?}"),
        }
    }
    assert_eq!(ok("get", storage.get(&name, 5)), b"first", "the object stays");
}

fn readers_see_a_whole_object_or_none(storage: &dyn Storage) {
    let bytes = content(2_000_000);
    let name = ObjectName::of(ObjectKind::Pack, &bytes);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| ok("put", storage.put(&name, &bytes)));
        let mut is_written = false;
        while !is_written {
            is_written = writer.is_finished();
            for object in listing(storage, ObjectKind::Pack) {
                assert_eq!(object.len_bytes, bytes.len() as u64, "a listed object has its whole length");
            }
            match storage.get(&name, u64::MAX) {
                Ok(read) => assert!(read == bytes, "a reader sees the whole object"),
                Err(StorageError::NotFound { .. }) => assert!(!is_written, "an object is there when put returns"),
                Err(error) => panic!("get during a put failed: {error:?}"),
            }
        }
    });
}

fn concurrent_puts_of_one_object_store_it_once(storage: &dyn Storage) {
    for round in 0..8 {
        let bytes = content(20_000 + round);
        let name = ObjectName::of(ObjectKind::Pack, &bytes);
        let puts: Vec<Put> = std::thread::scope(|scope| {
            let put = || {
                let put = ok("put", storage.put(&name, &bytes));
                ok("sync", storage.sync());
                put
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(put)).collect();
            threads.into_iter().map(|thread| thread.join().expect("the thread's own panic was printed")).collect()
        });
        let stored_count = puts.iter().filter(|put| **put == Put::Stored).count();
        assert_eq!(stored_count, 1, "of several puts of one object exactly one stores it");
        assert!(ok("get", storage.get(&name, u64::MAX)) == bytes, "and it is whole");
    }
}

fn put_new(storage: &dyn Storage, kind: ObjectKind, len_bytes: usize) -> ObjectSummary {
    let bytes = content(len_bytes);
    let name = ObjectName::of(kind, &bytes);
    ok("put", storage.put(&name, &bytes));
    ObjectSummary { name, len_bytes: len_bytes as u64 }
}

fn listing(storage: &dyn Storage, kind: ObjectKind) -> BTreeSet<ObjectSummary> {
    let mut found = BTreeSet::new();
    let listed = storage.list(kind, &mut |object| {
        assert_eq!(object.name.kind, kind, "list gives only the kind asked for");
        assert!(found.insert(object), "list gives {} once", object.name);
    });
    ok("list", listed);
    found
}

/// Bytes that differ between neighbouring blocks and between lengths.
fn content(len_bytes: usize) -> Vec<u8> {
    (0..251).cycle().skip(len_bytes % 251).take(len_bytes).collect()
}

#[track_caller]
fn ok<T>(what: &str, result: Result<T, StorageError>) -> T {
    result.unwrap_or_else(|error| panic!("{what} failed: {error:?}"))
}
