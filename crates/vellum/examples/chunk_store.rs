//! Uses only the chunk store: a stream goes in under a name of the caller's choice and comes back, deduplicated,
//! compressed and sealed, without any file or folder.

use std::error::Error;
use std::sync::Arc;
use vellum::format::snapshot::Timestamp;
use vellum::storage::MemoryStorage;
use vellum::{
    CreateOptions, Credential, FrameCache, KeyFile, LocalState, NewSlot, Repository, SessionOptions, read_stream,
    write_stream,
};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp { seconds: 0, nanoseconds: 0 };
    let key_file = KeyFile::generate()?;
    let slot = NewSlot { credential: Credential::KeyFile(&key_file), label: "example", argon2id: None, now };
    let storage = Arc::new(MemoryStorage::default());
    let repository = Repository::create(storage, &CreateOptions::new(now), &[slot], &LocalState::None)?.repository;

    let message = "The same words again and again. ".repeat(100_000);
    let session = repository.begin(&SessionOptions::default())?;
    let mut writer = session.frame_writer()?;
    let (content, len_bytes) = write_stream(&repository, &mut writer, message.as_bytes())?;
    let (again, _) = write_stream(&repository, &mut writer, message.as_bytes())?;
    assert_eq!(content, again, "equal streams have equal contents");
    writer.flush()?;
    drop(writer);

    // Durable from here on. `content` is what an application keeps, in its own database or in a snapshot.
    let durable = session.seal()?;
    println!("{len_bytes} bytes twice took {} in the store", durable.stored().bytes_stored);

    let mut back = Vec::new();
    read_stream(&repository, &FrameCache::new(4), &content, &mut back)?;
    assert_eq!(back, message.as_bytes());
    println!("and came back as they were");
    Ok(())
}
