use std::io::{self, ErrorKind, Read};

use proptest::prelude::*;
use vellum_chunker::{Algorithm, Block, BlockStream, ChunkStream, Chunker, Sizes};

use crate::common::{ALGORITHMS, KIB, MIB, data, private_sizes, random, ranges, small_sizes};

/// Returns 1 to `most` bytes at a time, and is often interrupted.
struct Stuttering<'a> {
    data: &'a [u8],
    most: usize,
    state: u64,
}

impl Read for Stuttering<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = usize::try_from(self.state >> 33).unwrap();
        if random.is_multiple_of(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        let length = buffer.len().min(1 + random % self.most);
        (&mut self.data).take(length as u64).read(buffer)
    }
}

fn collect<R: Read>(stream: &mut ChunkStream<R>) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next_chunk().unwrap() {
        chunks.push(chunk.to_vec());
    }
    assert!(stream.next_chunk().unwrap().is_none());
    chunks
}

/// With buffers of the least length that hold bytes already.
fn collect_blocks<R: Read>(stream: &mut BlockStream<R>) -> Vec<Vec<u8>> {
    let (mut chunks, mut buffer) = (Vec::new(), vec![9; 100_000]);
    while let Some(block) = stream.next_block(buffer, 0).unwrap() {
        assert!(block.chunks().next().is_some());
        chunks.extend(block.chunks().map(<[u8]>::to_vec));
        buffer = Block::into_buffer(block);
    }
    assert!(stream.next_block(Vec::new(), 0).unwrap().is_none());
    chunks
}

fn expected(chunker: &Chunker, data: &[u8]) -> Vec<Vec<u8>> {
    if !data.is_empty() && data.len() <= chunker.sizes().avg() as usize {
        return vec![data.to_vec()];
    }
    ranges(chunker, data).into_iter().map(|range| data[range].to_vec()).collect()
}

fn assert_reads_do_not_matter(chunker: &Chunker, data: &[u8], most: usize, state: u64) {
    let mut stream = ChunkStream::new(chunker.clone(), Stuttering { data, most, state });
    assert!(collect(&mut stream) == expected(chunker, data));
    let mut blocks = BlockStream::new(chunker.clone(), Stuttering { data, most, state });
    assert!(collect_blocks(&mut blocks) == expected(chunker, data));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn read_sizes_do_not_matter(sizes in small_sizes(), data in data(), most in 1..9000usize, state: u64) {
        for algorithm in ALGORITHMS {
            assert_reads_do_not_matter(&Chunker::new(algorithm, sizes, &[4; 32]), &data, most, state);
        }
    }
}

/// Streams longer than the buffer, so that it is refilled and its tail moved.
#[test]
fn read_sizes_do_not_matter_in_long_streams() {
    let data = random(b"long stream", 5 << 20);
    let mostly_zero = [&vec![0; 2 << 20], &data[..3000], &vec![0; 2 << 20]].concat();
    let sizes = Sizes::new(256, 4 * KIB, 512 * KIB).unwrap();
    for algorithm in ALGORITHMS {
        for sizes in [sizes, private_sizes()] {
            let chunker = Chunker::new(algorithm, sizes, &[4; 32]);
            for most in [5_000, 300_000, 100_000_000] {
                assert_reads_do_not_matter(&chunker, &data, most, 1);
                assert_reads_do_not_matter(&chunker, &mostly_zero, most, 2);
            }
        }
    }
}

/// Short chunks of many keys, so that the tail is moved from nearly everywhere near the end of the buffer.
#[test]
fn the_tail_may_be_moved_from_anywhere() {
    let data = random(b"moved tail", 5 << 19);
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    for key in 0..32 {
        let chunker = Chunker::new(Algorithm::Gear, sizes, &[key; 32]);
        assert_reads_do_not_matter(&chunker, &data, 100_000_000, 3);
    }
}

#[test]
fn a_stream_up_to_the_average_is_one_chunk() {
    let data = random(b"one chunk", 128 << 10);
    let avg = 64 << 10;
    let mut otherwise_cut = 0;
    for seed in 0..100 {
        let chunker = Chunker::new(Algorithm::Phte128, private_sizes(), &[seed; 32]);
        for length in [1, 100, avg - 1, avg] {
            let chunks = collect(&mut ChunkStream::new(chunker.clone(), &data[..length]));
            assert!(chunks == [&data[..length]]);
        }
        otherwise_cut += usize::from(chunker.cut(&data[..avg]) < avg);
        let chunks = collect(&mut ChunkStream::new(chunker.clone(), &data[..avg + 1]));
        assert_eq!(chunks[0].len(), chunker.cut(&data[..avg + 1]));
    }
    assert!(otherwise_cut > 5);
}

#[test]
fn only_a_whole_stream_is_exempt_from_the_scan() {
    let chunker = Chunker::new(Algorithm::Phte128, private_sizes(), &[4; 32]);
    let mut data = random(b"tail", 4 << 20);
    let early = ranges(&chunker, &data).into_iter().find(|range| range.len() < 60 << 10).unwrap();
    data.truncate(early.start + (62 << 10));
    let chunks = collect(&mut ChunkStream::new(chunker.clone(), &data[..]));
    assert!(chunks == expected(&chunker, &data));
    assert_eq!(chunks[chunks.len() - 2].len(), early.len());
}

#[test]
fn an_empty_stream_has_no_chunk() {
    let chunker = Chunker::new(Algorithm::Gear, private_sizes(), &[4; 32]);
    assert!(collect(&mut ChunkStream::new(chunker, io::empty())).is_empty());
}

#[test]
fn a_read_error_ends_the_stream() {
    struct Failing(u32);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                2 => Err(ErrorKind::PermissionDenied.into()),
                _ => {
                    buffer[..9000].fill(1);
                    Ok(9000)
                }
            }
        }
    }
    let chunker = Chunker::new(Algorithm::Phte128, private_sizes(), &[4; 32]);
    let mut stream = BlockStream::new(chunker.clone(), Failing(0));
    let refused = stream.next_block(Vec::new(), 0).map(|block| block.is_some()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert!(stream.next_block(Vec::new(), 0).unwrap().is_none());
    let mut stream = ChunkStream::new(chunker, Failing(0));
    assert_eq!(stream.next_chunk().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(stream.next_chunk().unwrap().is_none());
    assert!(stream.next_chunk().unwrap().is_none());
}

#[test]
fn a_buffer_is_reused() {
    let data = random(b"buffer", 3 << 20);
    let small = Chunker::new(Algorithm::Gear, private_sizes(), &[4; 32]);
    let large = Chunker::new(Algorithm::Gear, Sizes::new(16 * KIB, 64 * KIB, MIB).unwrap(), &[4; 32]);
    let mut buffer = vec![7; 100];
    for (chunker, length) in [(&small, 1 << 20), (&large, 4 << 20), (&small, 4 << 20)] {
        let mut stream = ChunkStream::with_buffer(chunker.clone(), &data[..], buffer);
        assert!(collect(&mut stream) == expected(chunker, &data));
        buffer = stream.into_buffer();
        assert_eq!(buffer.len(), length);
    }
}
