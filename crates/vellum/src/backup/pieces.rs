//! Long streams on all cores: one thread reads and cuts, and hands the chunks out by the block; whoever has time names,
//! compresses and seals them. Nobody waits while there is a piece to take.
//!
//! Memory, for `W` workers: `W` pieces that wait and one that each works on, of [`BLOCK_LEN_BYTES`] each.

use crate::content::ContentBuilder;
use crate::{Context, Error, lock};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use vellum_chunker::{Block, BlockStream, Chunker};
use vellum_faults::inheriting;
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_repository::{FrameWriter, RepositoryError, Session};

/// Chunks that are handed out together: as much as a frame.
const BLOCK_LEN_BYTES: usize = 2 << 20;

/// One worker's end of what all share.
#[derive(Clone)]
pub(super) struct Pieces {
    sender: Sender<Piece>,
    taker: Taker,
}

/// Whoever takes pieces.
#[derive(Clone)]
pub(super) struct Taker {
    pub(super) receiver: Receiver<Piece>,
    /// Buffers that no piece needs at the moment.
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Some chunks of a long stream.
pub(super) struct Piece {
    /// Until it is answered.
    block: Option<Block>,
    number: usize,
    stream: Arc<Stream>,
}

/// What has become of the pieces of one stream.
#[derive(Default)]
struct Stream {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stored: BTreeMap<usize, Vec<ChunkRef>>,
    /// A piece was given up; whoever did it has told why.
    is_broken: bool,
}

/// Why a stream was not taken.
pub(super) enum WriteError {
    /// It could not be read.
    Source(std::io::Error),
    Run(Error),
}

impl<E: Into<Error>> From<E> for WriteError {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

/// Stores the one stream of a session with all workers and tells its length.
///
/// # Errors
/// [`Error::Input`] when the stream cannot be read, else what the first worker that failed says.
pub(super) fn write_stream(
    session: &Session<'_>,
    reader: impl Read,
    chunker: Chunker,
    writer: &mut FrameWriter<'_>,
    context: &Context,
) -> Result<(Content, u64), Error> {
    let workers = context.worker_count();
    let pieces = Pieces::new(workers);
    let taker = pieces.taker();
    let help = || {
        let mut writer = session.frame_writer()?;
        let taken = taker.take_all(&mut writer, context);
        // Also when cancelled: what was put must reach a frame.
        let flushed = writer.flush();
        taken.and(Ok(flushed?))
    };
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, inheriting(help)).ok();
        let helpers: Vec<_> = (1..workers).map_while(start).collect();
        let written = pieces.write(reader, chunker, writer, context);
        drop(pieces);
        for helper in helpers {
            helper.join().map_err(|_| Error::WorkerPanicked)??;
        }
        written.map_err(|error| match error {
            WriteError::Source(error) => Error::Input(error),
            WriteError::Run(error) => error,
        })
    })
}

impl Pieces {
    /// For so many workers, each of which gets a clone.
    pub(super) fn new(workers: usize) -> Self {
        // Whoever is alone would only wait with them.
        let (sender, receiver) = bounded(if workers == 1 { 0 } else { workers });
        Self { sender, taker: Taker { receiver, spare: Arc::default() } }
    }

    /// For whoever only takes. Takers stop when no [`Pieces`] is left.
    pub(super) fn taker(&self) -> Taker {
        self.taker.clone()
    }

    /// Stores a stream with the help of others and tells its length.
    pub(super) fn write(
        &self,
        reader: impl Read,
        chunker: Chunker,
        writer: &mut FrameWriter<'_>,
        context: &Context,
    ) -> Result<(Content, u64), WriteError> {
        let mut builder = ContentBuilder::new(chunker.clone());
        let mut blocks = BlockStream::new(chunker, reader);
        let stream = Arc::new(Stream::default());
        let (mut sent, mut pushed, mut len_bytes) = (0, 0, 0);
        while let Some(block) = blocks.next_block(self.taker.buffer(), BLOCK_LEN_BYTES).map_err(WriteError::Source)? {
            context.check_cancelled()?;
            len_bytes += block.chunks().map(|chunk| chunk.len() as u64).sum::<u64>();
            let piece = Piece { block: Some(block), number: sent, stream: Arc::clone(&stream) };
            sent += 1;
            if let Err(TrySendError::Full(piece) | TrySendError::Disconnected(piece)) = self.sender.try_send(piece) {
                self.taker.take(piece, writer, context)?;
            }
            stream.push_stored(&mut pushed, &mut builder, writer)?;
        }
        while pushed < sent {
            match self.taker.receiver.try_recv() {
                Ok(piece) => self.taker.take(piece, writer, context)?,
                // Others have begun with every piece that is left.
                Err(_) => stream.wait(pushed)?,
            }
            stream.push_stored(&mut pushed, &mut builder, writer)?;
        }
        Ok((builder.finish(writer)?, len_bytes))
    }
}

impl Taker {
    /// Stores the chunks of a piece.
    pub(super) fn take(&self, mut piece: Piece, writer: &mut FrameWriter<'_>, context: &Context) -> Result<(), Error> {
        let mut chunks: Vec<ChunkRef> = Vec::new();
        let mut last: &[u8] = &[];
        for chunk in piece.block.iter().flat_map(Block::chunks) {
            context.check_cancelled()?;
            let stored = match chunks.last() {
                // As in a long hole, which costs no hash then.
                Some(stored) if chunk == last => *stored,
                _ => writer.put(ChunkKind::Data, chunk)?.chunk,
            };
            chunks.push(stored);
            last = chunk;
            context.progress.add_done(0, chunk.len() as u64);
        }
        lock(&piece.stream.state).stored.insert(piece.number, chunks);
        lock(&self.spare).extend(piece.block.take().map(Block::into_buffer));
        Ok(())
    }

    /// Takes pieces until nobody can hand one out any more.
    pub(super) fn take_all(&self, writer: &mut FrameWriter<'_>, context: &Context) -> Result<(), Error> {
        while let Ok(piece) = self.receiver.recv() {
            self.take(piece, writer, context)?;
        }
        Ok(())
    }

    fn buffer(&self) -> Vec<u8> {
        lock(&self.spare).pop().unwrap_or_default()
    }
}

impl Stream {
    /// Gives the references on that are next in the stream.
    fn push_stored(
        &self,
        pushed: &mut usize,
        builder: &mut ContentBuilder,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        loop {
            let next = lock(&self.state).stored.remove(pushed);
            let Some(chunks) = next else { return Ok(()) };
            chunks.iter().try_for_each(|chunk| builder.push(chunk, writer))?;
            *pushed += 1;
        }
    }

    /// Waits for a piece that somebody has taken.
    fn wait(&self, number: usize) -> Result<(), RepositoryError> {
        let mut state = lock(&self.state);
        while !state.stored.contains_key(&number) {
            if state.is_broken {
                return Err(RepositoryError::SessionPoisoned);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

/// Whoever waits for it is told, also when it was given up.
impl Drop for Piece {
    fn drop(&mut self) {
        if self.block.is_some() {
            lock(&self.stream.state).is_broken = true;
        }
        self.stream.changed.notify_all();
    }
}
